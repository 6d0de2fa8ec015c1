//! `bowline tour`: the whole story in a few seconds, every exchange shown, every door tried.

mod browser;
mod show;

use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use http::Method;
use serde_json::Value;

pub use browser::{Answer, Browser, Sent, absolute, hidden};

use super::sandbox::{Args, World};
use super::start::passing_folder;
use super::{Failure, Globals};
use show::{Door, Show};

/// Where the story failed.
type Told<T> = Result<T, Failure>;

/// Runs the tour in a world of its own, which is gone afterwards.
pub(super) async fn run(globals: &Globals) -> Told<()> {
    let folder = passing_folder(&std::env::temp_dir(), "tour")?;
    let args = Args { hidden_bank: false, ..Args::on_free_ports(folder.clone(), None) };
    let world = World::start(&args, crate::app::Clock::system()).await;
    let told = match world {
        Ok(world) => {
            let told = Tour::new(&world, globals)?.tell().await;
            world.stop().await;
            told
        }
        Err(failure) => Err(failure),
    };
    let _ = std::fs::remove_dir_all(&folder);
    told
}

struct Tour<'a> {
    world: &'a World,
    browser: Browser,
    show: Show,
}

/// What the recipient holds of a connection.
struct Tokens {
    access: String,
    refresh: String,
    code: String,
}

const SCOPE: &str = "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS";

impl<'a> Tour<'a> {
    fn new(world: &'a World, globals: &Globals) -> Told<Self> {
        let browser = Browser::new().map_err(|e| Failure::Fault(e.into()))?;
        Ok(Self { world, browser, show: Show::new(globals) })
    }

    async fn tell(mut self) -> Told<()> {
        self.show.chapter("A customer connects a bank to an app");
        let code = self.connect().await?;
        self.show.chapter("The app redeems the code and reads");
        let tokens = self.redeem(code).await?;
        let account = self.read(&tokens).await?;
        self.show.chapter("The app refreshes its token");
        let fresh = self.refresh(&tokens).await?;
        self.show.chapter("One call ends it");
        let ended = self.api(Method::DELETE, "/api/v1/revoke", Some(&fresh), None).await?;
        self.expect(&ended, 204, "the connection has ended, durably, before this answer")?;
        self.show.chapter("Every door is tried");
        let doors = self.doors(&tokens, &fresh, &account).await?;
        self.show.doors(&doors);
        match doors.iter().find(|door| !door.held) {
            None => Ok(()),
            Some(door) => Err(Failure::DoesNotHold(format!("a door is open: {}", door.name))),
        }
    }

    /// The browser's way: hub, bank, hub, app.
    async fn connect(&mut self) -> Told<String> {
        let hub = self.world.app.public_url().to_owned();
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", self.world.acme().client_id),
                ("redirect_uri", &*self.world.acme().redirect_uris[0]),
                ("scope", SCOPE),
                ("state", "tour"),
                ("provider_id", "1000"),
            ])
            .finish();
        let consent = self
            .go(&format!("{hub}/api/v1/authorize?{query}"), "the app sends the customer to the hub")
            .await?;
        let page = self.go(&consent, "the hub asks: Acme Budget wants to read your information").await?;
        let to_bank = self.submit(&consent, &page, &[("decision", "approve")], "the customer agrees").await?;
        let sign_in = self.go(&to_bank, "the bank takes over, with PKCE").await?;
        let page = self.go(&sign_in, "Maple Trust asks who it is").await?;
        let alice = self.world.maple().bank.logins().into_iter().find(|l| l.username == "alice");
        let alice = alice.ok_or_else(|| Failure::DoesNotHold("the bank has no alice".into()))?;
        let signed = [("username", alice.username), ("password", &alice.password)];
        let choose = self.submit(&sign_in, &page, &signed, "alice signs in at her bank").await?;
        let page = self.go(&choose, "and sees her accounts").await?;
        let chosen =
            [("accounts", "mt-alice-chequing"), ("accounts", "mt-alice-card"), ("decision", "approve")];
        let callback = self.submit(&choose, &page, &chosen, "she shares two of her accounts").await?;
        let back = self.go(&callback, "the hub exchanges the bank's code and seals the tokens").await?;
        let url =
            url::Url::parse(&back).map_err(|_| Failure::DoesNotHold(format!("{back} is no way back")))?;
        let code = url.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
        code.ok_or_else(|| Failure::DoesNotHold("the app got no code".into()))
    }

    async fn redeem(&mut self, code: String) -> Told<Tokens> {
        let (redirect_uri, grant) = (self.world.acme().redirect_uris[0].clone(), "authorization_code");
        let fields = [("grant_type", grant), ("code", &code), ("redirect_uri", &redirect_uri)];
        let answer = self.token(&fields).await?;
        self.expect(&answer, 200, "an access token for 5 minutes, a refresh token, the granted scope")?;
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Ok(Tokens { access: text("access_token"), refresh: text("refresh_token"), code })
    }

    async fn read(&mut self, tokens: &Tokens) -> Told<String> {
        let accounts = self.api(Method::GET, "/api/fdx/5/accounts", Some(&tokens.access), None).await?;
        let body = accounts.json();
        let list = body["accounts"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> =
            list.iter().filter_map(|a| a.as_object()?.values().next()?["productName"].as_str()).collect();
        self.expect(&accounts, 200, &format!("{} accounts: {}", list.len(), names.join(", ")))?;
        let id = list
            .first()
            .and_then(|a| a["depositAccount"]["accountId"].as_str())
            .unwrap_or_default()
            .to_owned();
        let account =
            self.api(Method::GET, &format!("/api/fdx/5/accounts/{id}"), Some(&tokens.access), None).await?;
        let balance = account.json()["depositAccount"]["currentBalance"].clone();
        self.expect(&account, 200, &format!("balance {balance} CAD"))?;
        let path = format!("/api/fdx/5/accounts/{id}/transactions?limit=100");
        let page = self.api(Method::GET, &path, Some(&tokens.access), None).await?;
        let body = page.json();
        let (count, total) =
            (body["transactions"].as_array().map_or(0, Vec::len), &body["page"]["totalElements"]);
        self.expect(&page, 200, &format!("{count} of {total} transactions, and the link to the next page"))?;
        Ok(id)
    }

    async fn refresh(&mut self, tokens: &Tokens) -> Told<String> {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
        let answer = self.token(&fields).await?;
        self.expect(&answer, 200, "another access token; the refresh token stays the same")?;
        Ok(answer.json()["access_token"].as_str().unwrap_or_default().to_owned())
    }

    async fn doors(&mut self, tokens: &Tokens, fresh: &str, account: &str) -> Told<Vec<Door>> {
        let mut doors = Vec::new();
        let transactions = format!("/api/fdx/5/accounts/{account}/transactions");
        for (name, path, token) in [
            ("accounts with the newest access token", "/api/fdx/5/accounts", fresh),
            ("accounts with the first access token", "/api/fdx/5/accounts", &tokens.access),
            ("transactions", &transactions, fresh),
        ] {
            let answer = self.api(Method::GET, path, Some(token), None).await?;
            doors.push(self.door(name, &answer, 401, Some(("code", 602.into()))));
        }
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
        let answer = self.token(&refresh).await?;
        doors.push(self.door("the refresh token", &answer, 400, Some(("error", "invalid_grant".into()))));
        let redirect_uri = self.world.acme().redirect_uris[0].clone();
        let replay =
            [("grant_type", "authorization_code"), ("code", &*tokens.code), ("redirect_uri", &redirect_uri)];
        let answer = self.token(&replay).await?;
        doors.push(self.door(
            "the authorization code again",
            &answer,
            400,
            Some(("error", "invalid_grant".into())),
        ));
        let answer = self.api(Method::DELETE, "/api/v1/revoke", Some(fresh), None).await?;
        doors.push(self.door("revoking again changes nothing", &answer, 204, None));
        doors.push(self.bank_door().await?);
        Ok(doors)
    }

    /// The bank's own list of grants: the hub has told it.
    async fn bank_door(&mut self) -> Told<Door> {
        let url = format!("{}/grants", self.world.maple().levers());
        let browser = &self.browser;
        let look = || async {
            browser.send(Sent::new(Method::GET, &url)).await.map(|answer| answer.json()[0]["state"].clone())
        };
        let patience = ConstantBuilder::default().with_delay(Duration::from_millis(50)).with_max_times(100);
        let ended = |state: &Value| state == "ended";
        let told = (|| async {
            match look().await {
                Ok(state) if ended(&state) => Ok(()),
                _ => Err(()),
            }
        })
        .retry(patience)
        .await;
        let answer = self.browser.send(Sent::new(Method::GET, &url)).await.map_err(unreachable)?;
        let state = answer.json()[0]["state"].as_str().unwrap_or_default().to_owned();
        self.show.exchange("GET", &url, &answer, &format!("the bank says that alice's grant is {state}"));
        Ok(Door { name: "the grant at the bank".to_owned(), answer: state, held: told.is_ok() })
    }

    fn door(&mut self, name: &str, answer: &Answer, status: u16, says: Option<(&str, Value)>) -> Door {
        let line =
            if answer.body.is_empty() { "it is over already".to_owned() } else { browser::line(answer) };
        self.show.shown(answer, &line);
        let body = answer.json();
        let said = says.as_ref().map(|(field, _)| format!(" {}", body[field])).unwrap_or_default();
        let held = answer.status == status && says.is_none_or(|(field, value)| body[field] == value);
        Door { name: name.to_owned(), answer: format!("{}{said}", answer.status), held }
    }

    async fn go(&mut self, url: &str, line: &str) -> Told<String> {
        let answer = self.browser.send(Sent::new(Method::GET, url)).await.map_err(unreachable)?;
        self.arrived("GET", url, answer, line)
    }

    async fn submit(&mut self, url: &str, page: &str, fields: &[(&str, &str)], line: &str) -> Told<String> {
        let token = hidden(page, "form_token").unwrap_or_default();
        let mut all = vec![("form_token", token.as_str())];
        all.extend(fields);
        let answer = self.browser.send(Sent::new(Method::POST, url).form(&all)).await.map_err(unreachable)?;
        self.arrived("POST", url, answer, line)
    }

    /// Where a redirect leads, or the page that was shown.
    fn arrived(&mut self, method: &str, url: &str, answer: Answer, line: &str) -> Told<String> {
        self.show.exchange(method, url, &answer, line);
        match answer.location {
            Some(location) => Ok(absolute(url, &location)),
            None if answer.status == 200 => Ok(answer.body),
            None => Err(Failure::DoesNotHold(format!("{method} {url} answered {}", answer.status))),
        }
    }

    async fn token(&mut self, fields: &[(&str, &str)]) -> Told<Answer> {
        let acme = self.world.acme().clone();
        let own = [("client_id", acme.client_id), ("client_secret", acme.client_secret.expose())];
        let body: serde_json::Map<String, Value> =
            own.iter().chain(fields).map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        self.api(Method::POST, "/api/v1/token", None, Some(body.into())).await
    }

    async fn api(
        &mut self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: Option<Value>,
    ) -> Told<Answer> {
        let url = format!("{}{path}", self.world.app.public_url());
        let mut sent = Sent::new(method.clone(), &url);
        sent.bearer = bearer.map(str::to_owned);
        sent.json = body;
        let answer = self.browser.send(sent).await.map_err(unreachable)?;
        self.show.hold(method.as_str(), &url);
        Ok(answer)
    }

    fn expect(&mut self, answer: &Answer, status: u16, line: &str) -> Told<()> {
        self.show.shown(answer, line);
        if answer.status == status {
            return Ok(());
        }
        Err(Failure::DoesNotHold(format!("expected {status}, got {}: {}", answer.status, answer.body)))
    }
}

fn unreachable(error: reqwest::Error) -> Failure {
    Failure::Unreachable(error.without_url().to_string())
}
