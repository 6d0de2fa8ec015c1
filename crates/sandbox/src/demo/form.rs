//! Lesson 1 of the demo app's tutorial, after `visit`: forms are accepted only from pages of the same session.

use std::collections::HashMap;

use axum::Form;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Redirect, Response};

use super::notice::CustomerNotice;
use super::page::{internal_error, render_message};
use super::session::BankConnection;
use super::state::Demo;
use super::visit::DemoVisit;
use crate::browser;
use crate::random::constant_time_eq;

/// The fields of a form that comes from a page of this session.
///
/// Handlers get form fields only through this type, so that no handler can forget the CSRF check.
pub(super) struct DemoForm(pub(super) DemoVisit, pub(super) HashMap<String, String>);

impl FromRequest<Demo> for DemoForm {
    type Rejection = Response;

    async fn from_request(request: Request, demo: &Demo) -> Result<Self, Response> {
        let visit = request.extensions().get::<DemoVisit>().cloned().ok_or(());
        let visit = visit.map_err(|()| internal_error(()).into_response())?;
        let is_same_origin = browser::is_from_origin(request.headers(), &demo.settings().origin);
        let form = Form::<HashMap<String, String>>::from_request(request, demo).await;
        let Form(fields) = form.map_err(IntoResponse::into_response)?;
        let is_token_valid = fields
            .get("csrf_token")
            .is_some_and(|token| constant_time_eq(token, &visit.session().csrf_token));
        if is_same_origin && is_token_valid {
            return Ok(Self(visit, fields));
        }
        let notice = CustomerNotice::new("demo-foreign-form", 403);
        Err(render_message(&visit, &notice, Vec::new()).into_response())
    }
}

/// The connection whose bank a form contains in its field `bank`, and the browser request that sent the form.
pub(super) struct ChosenConnection(pub(super) DemoVisit, pub(super) BankConnection);

impl FromRequest<Demo> for ChosenConnection {
    type Rejection = Response;

    async fn from_request(request: Request, demo: &Demo) -> Result<Self, Response> {
        let DemoForm(visit, form) = DemoForm::from_request(request, demo).await?;
        let connection = form.get("bank").and_then(|bank| visit.session().find_connection(bank));
        // The connection may have been removed in another tab: the home page shows the current state.
        connection.map(|connection| Self(visit, connection)).ok_or_else(|| Redirect::to("/").into_response())
    }
}
