//! Paths of values in a response. They contain names of the standard and indexes, and nothing that a provider sent.

use std::fmt::{self, Display, Formatter};

/// The path of a value. The steps are linked on the stack, so that a path costs nothing until it is written.
#[derive(Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Self>,
    step: Step,
}

#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// The response itself.
    Root,
    /// A member that the standard defines.
    Name(&'static str),
    /// An element of a list.
    Index(usize),
    /// A member that the standard does not define. Its name is not part of the path: it may be data of a customer.
    Unknown,
}

impl Path<'_> {
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    pub(crate) const fn then(&self, step: Step) -> Path<'_> {
        Path { parent: Some(self), step }
    }
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let is_first = self.parent.is_none_or(|parent| matches!(parent.step, Step::Root));
        let separator = if is_first { "" } else { "." };
        match self.step {
            Step::Root => Ok(()),
            Step::Name(name) => write!(f, "{separator}{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Unknown => write!(f, "{separator}*"),
        }
    }
}
