//! The routes of the admin API. Each contains its OpenAPI documentation and its required role.

mod activity;
mod clients;
mod common;
mod operators;
mod providers;

use crate::http::Route;

/// Returns all routes of the admin API, from the modules below this one.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = activity::connections();
    routes.push(activity::audit_log());
    routes.extend(activity::jobs());
    routes.extend(providers::providers());
    routes.extend(providers::provider_changes());
    routes.extend(operators::operators());
    routes.extend(clients::partners());
    routes.extend(clients::recipients());
    routes.extend(providers::registrations());
    routes.extend(providers::registration_steps());
    routes
}
