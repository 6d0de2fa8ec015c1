//! The world itself: listeners, banks, demo app and hub, seeded through the hub's own use cases.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use domain::Secret;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::Localized;
use sandbox::bank::{self, Bank};
use sandbox::demo::{self, Demo};
use serde_json::json;
use store::command::SetMark;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::Failure;
use super::super::start::{
    ACTOR, DataLock, SANDBOX_MARK, bind, bind_local, build, location, migrate, owned_folder, upsert_providers,
};
use super::Args;
use super::party::{HIDDEN, HUB_AT_BANK, PARTIES, Party, scope};
use crate::admin;
use crate::app::{App, Clock};
use crate::config::Config;
use crate::ctx::Ctx;
use crate::job;
use crate::manage::{
    NewPartner, NewRecipient, NotRegistered, register, register_partner, replace_redirect_uris,
};
use crate::node::{Listeners as Listening, Node};

/// The file in its folder that configures a sandbox's hub.
pub(super) const CONFIGURATION: &str = "bowline.toml";

/// A world that runs.
pub struct World {
    /// The hub's app.
    pub app: App,
    /// The hub.
    pub node: Node,
    /// The banks, Maple Trust first.
    pub banks: Vec<BankSite>,
    /// Where the demo app is.
    pub demo: String,
    /// The demo app's credentials at the hub, and those for an app of one's own.
    pub recipients: [Credentials; 2],
    /// A partner's credentials.
    pub partner: Credentials,
    /// An operator's token, with the role of an admin.
    pub operator: Secret<String>,
    serving: JoinSet<()>,
    _lock: DataLock,
}

/// A bank that answers.
pub struct BankSite {
    /// Its id at the hub.
    pub provider_id: i64,
    /// The bank.
    pub bank: Bank,
    /// Where it is.
    pub url: String,
}

impl BankSite {
    /// Where its levers are.
    pub fn levers(&self) -> String {
        format!("{}/levers", self.url)
    }

    /// Where it registers clients (RFC 7591), if it does.
    pub fn registration(&self) -> String {
        format!("{}/register", self.url)
    }
}

/// A client of the hub, as it knows itself.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Its id.
    pub client_id: &'static str,
    /// Its secret.
    pub client_secret: Secret<String>,
    /// Where its answers go.
    pub redirect_uris: Vec<String>,
}

/// What is bound before anything is built.
struct Listeners {
    hub: TcpListener,
    demo: TcpListener,
    admin: TcpListener,
    probes: TcpListener,
    banks: Vec<(Party, TcpListener)>,
}

impl World {
    /// Builds and starts everything.
    pub async fn start(args: &Args, clock: Clock) -> Result<Self, Failure> {
        owned_folder(&args.data).map_err(|e| Failure::Usage(format!("{}: {e}", args.data.display())))?;
        let seed = kept_seed(&args.data, args.seed.as_deref())?;
        let listeners = Listeners::bind(args).await?;
        let (hub_url, demo_url) = (url(&listeners.hub)?, url(&listeners.demo)?);
        let mut serving = JoinSet::new();
        let mut banks = Vec::new();
        let mut providers = String::new();
        for (party, listener) in listeners.banks {
            let (site, provider) = bank(&party, &listener, &seed, &hub_url, &args.data, &clock)?;
            serve(&mut serving, listener, site.bank.router());
            providers.push_str(&provider);
            banks.push(site);
        }
        let config = config(args, [&listeners.hub, &listeners.admin, &listeners.probes], &providers)?;
        let location = location(&config)?;
        let lock = DataLock::take(&location)?;
        migrate(&location).await?;
        let app = build(config, clock.clone()).await?;
        let client = |client_id, redirect_uris| {
            let client_secret = Secret::new(derived(&seed, client_id));
            Credentials { client_id, client_secret, redirect_uris }
        };
        let recipients = [
            client("dc-sandbox", vec![format!("{demo_url}/callback")]),
            client("dc-yours", args.redirect_uris.clone()),
        ];
        let partner = client("pt-sandbox", Vec::new());
        let operator = Secret::new(derived(&seed, "operator"));
        seed_hub(&app, &recipients, &partner, &operator).await?;
        serve(&mut serving, listeners.demo, demo(&demo_url, &hub_url, &recipients[0], &banks, &clock)?);
        // A world that is not real goes on without.
        let local = bind_local(app.config()).unwrap_or_else(|failure| {
            tracing::warn!(%failure, "commands cannot reach the hub without its address");
            None
        });
        let listening =
            Listening { public: listeners.hub, admin: listeners.admin, local, probes: listeners.probes };
        let node = Node::start(&app, listening).map_err(|e| Failure::Fault(e.into()))?;
        Ok(Self { app, node, banks, demo: demo_url, recipients, partner, operator, serving, _lock: lock })
    }

    /// The bank that comes first.
    pub fn maple(&self) -> &BankSite {
        &self.banks[0]
    }

    /// The demo app's credentials at the hub.
    pub const fn acme(&self) -> &Credentials {
        &self.recipients[0]
    }

    /// Stops the hub cleanly, and the others.
    pub async fn stop(mut self) {
        self.node.stop().await;
        self.serving.shutdown().await;
    }
}

impl Listeners {
    async fn bind(args: &Args) -> Result<Self, Failure> {
        let place = |above: u16| if args.port == 0 { 0 } else { args.port.saturating_add(above) };
        let bind = |above| async move { bind(&format!("127.0.0.1:{}", place(above)), "--port").await };
        let (hub, demo) = (bind(0).await?, bind(1).await?);
        let (admin, probes) = (bind(8).await?, bind(9).await?);
        let mut banks = Vec::new();
        for party in PARTIES.into_iter().chain(args.hidden_bank.then_some(HIDDEN)) {
            let listener = bind(party.port).await?;
            banks.push((party, listener));
        }
        Ok(Self { hub, demo, admin, probes, banks })
    }
}

fn serve(serving: &mut JoinSet<()>, listener: TcpListener, router: axum::Router) {
    serving.spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
}

/// Opens a bank, and says how the hub is configured for it.
fn bank(
    party: &Party,
    listener: &TcpListener,
    seed: &str,
    hub_url: &str,
    data: &Path,
    clock: &Clock,
) -> Result<(BankSite, String), Failure> {
    let url = url(listener)?;
    let client_secret = derived(seed, &format!("hub-at-{}", party.key));
    let secret_file = data.join(format!("{}.secret", party.key));
    write(&secret_file, &client_secret)?;
    let bank = (party.open)(bank::Settings {
        seed: seed.as_bytes().to_vec(),
        origin: url.clone(),
        client_id: HUB_AT_BANK.into(),
        client_secret,
        redirect_uris: vec![format!("{hub_url}/callback/{}", party.provider_id)],
        journal: data.join(format!("{}.jsonl", party.key)),
        clock: clock.reader(),
    });
    let bank = bank.map_err(|e| Failure::Fault(e.into()))?;
    let provider = party.provider(&url, &secret_file);
    Ok((BankSite { provider_id: party.provider_id, bank, url }, provider))
}

fn demo(
    origin: &str,
    hub: &str,
    own: &Credentials,
    banks: &[BankSite],
    clock: &Clock,
) -> Result<axum::Router, Failure> {
    let offered = banks.iter().filter(|site| site.provider_id != HIDDEN.provider_id);
    let providers =
        offered.map(|site| demo::Choice { id: site.provider_id, name: site.bank.name().to_owned() });
    let settings = demo::Settings {
        origin: origin.to_owned(),
        hub: hub.to_owned(),
        client_id: own.client_id.to_owned(),
        client_secret: own.client_secret.expose().clone(),
        redirect_uri: format!("{origin}/callback"),
        scope: scope(),
        providers: providers.collect(),
        clock: clock.reader(),
    };
    Ok(Demo::new(settings).map_err(|e| Failure::Fault(e.into()))?.router())
}

fn derived(seed: &str, label: &str) -> String {
    use base64::Engine;
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, seed.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, label.as_bytes()))
}

/// The seed that the folder has; another one is refused.
fn kept_seed(data: &Path, given: Option<&str>) -> Result<String, Failure> {
    let file = data.join("seed");
    match (std::fs::read_to_string(&file), given) {
        (Ok(kept), Some(given)) if kept != given => Err(Failure::Usage(format!(
            "{} was made from another --seed: use that one, or another --data",
            data.display()
        ))),
        (Ok(kept), _) => Ok(kept),
        (Err(_), given) => {
            let seed = given.unwrap_or("bowline").to_owned();
            write(&file, &seed)?;
            Ok(seed)
        }
    }
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let written = File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))
}

fn url(listener: &TcpListener) -> Result<String, Failure> {
    Ok(format!("http://{}", address(listener)?))
}

fn address(listener: &TcpListener) -> Result<String, Failure> {
    Ok(listener.local_addr().map_err(|e| Failure::Fault(e.into()))?.to_string())
}

fn config(args: &Args, [hub, admin, probes]: [&TcpListener; 3], providers: &str) -> Result<Config, Failure> {
    let file = args.data.join(CONFIGURATION);
    let in_data = |name: &str| args.data.join(name).display().to_string();
    let store = args.store.clone().unwrap_or_else(|| format!("sqlite:{}", in_data("bowline.db")));
    let sections = json!({
        "server": {
            "public_url": url(hub)?, "listen": address(hub)?, "admin_listen": address(admin)?,
            "probe_listen": address(probes)?, "admin_socket": in_data("admin.sock"),
        },
        "store": {"url": store},
        "keys": {"file": in_data("bowline.keys")},
        "upstream": {"allow_loopback": true},
    });
    // Whole, so that the program's other commands find this hub by it.
    let sections = toml::to_string(&sections).map_err(|e| Failure::Fault(e.into()))?;
    write(&file, &format!("{sections}\n{providers}"))?;
    Config::load(Some(&file), std::iter::empty(), &args.settings).map_err(|e| Failure::Usage(e.to_string()))
}

/// Seeds the hub through the same use cases that its API calls.
async fn seed_hub(
    app: &App,
    [acme, yours]: &[Credentials; 2],
    partner: &Credentials,
    own: &Secret<String>,
) -> Result<(), Failure> {
    upsert_providers(app).await?;
    let ctx = job::context(app, ACTOR).map_err(|e| Failure::Fault(e.into()))?;
    let moment = ctx.moment().map_err(|e| Failure::Fault(e.into()))?;
    let mark = SetMark { moment, name: SANDBOX_MARK, value: "yes".into() };
    ctx.run(mark).await.map_err(super::super::start::stored)?;
    let purpose = Localized {
        en: "To show your spending and your balances in one place.".into(),
        fr: "Pour montrer vos dépenses et vos soldes en un seul endroit.".into(),
    };
    seed_recipient(&ctx, acme, "Acme Budget", purpose).await?;
    let purpose = Localized {
        en: "To try out what your own app will do.".into(),
        fr: "Pour essayer ce que fera votre propre application.".into(),
    };
    seed_recipient(&ctx, yours, "Your App", purpose).await?;
    let credentials = (partner.client_id.to_owned(), partner.client_secret.clone());
    let new = NewPartner { credentials: Some(credentials), name: "Sandbox Partner".into() };
    fresh_or_known(register_partner(&ctx, new, &operator()).await)?;
    admin::operator::seed(&ctx, own, &operator()).await.map_err(|e| Failure::Fault(e.into()))
}

async fn seed_recipient(ctx: &Ctx, own: &Credentials, name: &str, purpose: Localized) -> Result<(), Failure> {
    let new = NewRecipient {
        credentials: Some((own.client_id.to_owned(), own.client_secret.clone())),
        name: name.to_owned(),
        purpose,
        redirect_uris: own.redirect_uris.clone(),
        scope: scope(),
        providers: PARTIES.iter().map(|party| party.provider_id).collect(),
        require_pkce: false,
        max_duration_days: Some(90),
    };
    if fresh_or_known(register(ctx, new, &operator()).await)? {
        return Ok(());
    }
    // Known from an earlier start: the ports, and so the places of answers, may be others now.
    let replaced = replace_redirect_uris(ctx, own.client_id, own.redirect_uris.clone(), &operator()).await;
    replaced.map_err(|error| match error {
        NotRegistered::Invalid(_) => Failure::Usage(error.to_string()),
        error => Failure::Fault(error.into()),
    })
}

/// Whether it was registered now.
fn fresh_or_known<T>(registered: Result<T, NotRegistered>) -> Result<bool, Failure> {
    match registered {
        Ok(_) => Ok(true),
        Err(NotRegistered::Taken) => Ok(false),
        Err(error @ NotRegistered::Invalid(_)) => Err(Failure::Usage(error.to_string())),
        Err(error) => Err(Failure::Fault(error.into())),
    }
}

fn operator() -> Actor {
    Actor::new(ActorKind::Operator, "sandbox")
}
