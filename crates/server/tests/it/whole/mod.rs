//! Every route with every wrong caller: a route that is not thought of here fails.

use http::Method;

use crate::kit::Kit;
use bowline::web::{Face, table};

#[tokio::test]
async fn every_data_route_refuses_every_wrong_caller() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let own = kit.token(&acme, &[("grant_type", "client_credentials")]).await.json();
    let client_token = own["access_token"].as_str().unwrap();
    let narrow = kit
        .token(
            &acme,
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", &tokens.refresh),
                ("scope", "ACCOUNT_BASIC"),
            ],
        )
        .await
        .json();
    let narrow = narrow["access_token"].as_str().unwrap();
    let id = kit.account_id(&tokens.access).await;
    let mut routes = 0;
    for route in table().into_iter().filter(|r| r.face == Face::Fdx) {
        routes += 1;
        assert_eq!(route.method, Method::GET);
        let path = route.path.replace("{account_id}", &id);
        for (bearer, code) in [(client_token, None), ("forged", None), ("", None)] {
            let answer = kit.call(Method::GET, &path, bearer).await;
            assert_eq!((answer.status, answer.json().get("code")), (401, code), "{path}");
        }
        if path != "/api/fdx/5/accounts" {
            assert_eq!(kit.call(Method::GET, &path, narrow).await.json()["code"], 602, "{path}");
        }
    }
    assert_eq!(routes, 4);
    kit.revoke(&tokens.access).await;
    for route in table().into_iter().filter(|r| r.face == Face::Fdx) {
        let path = route.path.replace("{account_id}", &id);
        let answer = kit.call(Method::GET, &path, &tokens.access).await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &602.into()), "{path}");
    }
}

#[test]
fn the_table_is_what_is_known() {
    let mut listed: Vec<String> = table().iter().map(|r| format!("{} {}", r.method, r.path)).collect();
    listed.sort();
    insta::assert_snapshot!(listed.join("\n"), @r"
    DELETE /api/v1/revoke
    GET /
    GET /api/fdx/5/accounts
    GET /api/fdx/5/accounts/{account_id}
    GET /api/fdx/5/accounts/{account_id}/transactions
    GET /api/fdx/5/customers/current
    GET /api/v1/authorize
    GET /callback/{provider_id}
    GET /consent/{request_id}
    GET /static/bowline.css
    POST /api/v1/revoke
    POST /api/v1/token
    POST /consent/{request_id}
    ");
}
