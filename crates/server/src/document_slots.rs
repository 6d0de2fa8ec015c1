//! The limits of documents that are sent at the same time. Each of them needs memory and a connection to a provider for as
//! long as its recipient takes to read it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::ClientId;

use crate::config::LimitSection;

/// The documents that this node is sending.
pub struct DocumentSlots {
    total: usize,
    per_recipient: usize,
    used: Arc<Mutex<UsedSlots>>,
}

#[derive(Debug, Default)]
struct UsedSlots {
    total: usize,
    /// The documents of each recipient; recipients without one have no entry.
    by_recipient: HashMap<ClientId, usize>,
}

/// The right to send one document. It ends when it is dropped.
#[derive(Debug)]
pub struct DocumentSlot {
    recipient: ClientId,
    used: Arc<Mutex<UsedSlots>>,
}

/// The reason why a document cannot be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDocumentSlot {
    /// The recipient is reading as many documents as it may.
    Recipient,
    /// The node is sending as many documents as it may.
    Total,
}

impl DocumentSlots {
    /// Creates the limits from the configuration. Zero means no limit.
    pub fn new(section: &LimitSection) -> Self {
        Self {
            total: to_limit(section.documents),
            per_recipient: to_limit(section.recipient_documents),
            used: Arc::default(),
        }
    }

    /// Takes a slot for a document of a recipient.
    pub fn take(&self, recipient: &ClientId) -> Result<DocumentSlot, NoDocumentSlot> {
        let mut used = lock(&self.used);
        let own = used.by_recipient.get(recipient).copied().unwrap_or_default();
        // The recipient's limit comes first: a recipient above it must not get an error that blames the others.
        if own >= self.per_recipient {
            return Err(NoDocumentSlot::Recipient);
        }
        if used.total >= self.total {
            return Err(NoDocumentSlot::Total);
        }
        used.total += 1;
        used.by_recipient.insert(recipient.clone(), own + 1);
        Ok(DocumentSlot { recipient: recipient.clone(), used: Arc::clone(&self.used) })
    }
}

impl Drop for DocumentSlot {
    fn drop(&mut self) {
        let mut used = lock(&self.used);
        used.total = used.total.saturating_sub(1);
        if let Some(own) = used.by_recipient.get_mut(&self.recipient) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                used.by_recipient.remove(&self.recipient);
            }
        }
    }
}

const fn to_limit(number: u32) -> usize {
    if number == 0 { usize::MAX } else { number as usize }
}

fn lock(used: &Mutex<UsedSlots>) -> MutexGuard<'_, UsedSlots> {
    used.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(number: u32) -> ClientId {
        ClientId::parse(&format!("dc-{number}")).unwrap()
    }

    fn slots(total: usize, per_recipient: usize) -> DocumentSlots {
        DocumentSlots { total, per_recipient, used: Arc::default() }
    }

    #[test]
    fn document_slots_are_limited_per_recipient_and_in_total() {
        let slots = slots(3, 2);

        let first = [slots.take(&recipient(1)).unwrap(), slots.take(&recipient(1)).unwrap()];
        let third = slots.take(&recipient(1)).unwrap_err();
        let _other = slots.take(&recipient(2)).unwrap();
        let full = slots.take(&recipient(3)).unwrap_err();
        drop(first);

        assert_eq!((third, full), (NoDocumentSlot::Recipient, NoDocumentSlot::Total));
        assert!(slots.take(&recipient(1)).is_ok());
        let used = lock(&slots.used);
        assert_eq!((used.total, used.by_recipient.len()), (1, 1), "the dropped slots leave nothing");
    }

    #[test]
    fn document_limit_of_zero_is_no_limit() {
        let slots = slots(to_limit(0), to_limit(0));

        let taken: Vec<_> = (0..1000).map(|_| slots.take(&recipient(1)).unwrap()).collect();

        assert_eq!(lock(&slots.used).total, taken.len());
    }
}
