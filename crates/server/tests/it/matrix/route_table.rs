//! Snapshots of the route tables: method, path and required role of each route.

use bowline::http::ApiSurface;

use super::routes_with_probes;

/// Renders the routes of the admin API, or of all other APIs, as text.
fn render_route_table(is_admin: bool) -> String {
    let routes =
        routes_with_probes().into_iter().filter(|route| (route.surface == ApiSurface::Admin) == is_admin);
    let mut listed: Vec<String> = routes.map(|route| format!("{} {}", route.method, route.path)).collect();
    listed.sort();
    listed.join("\n")
}

#[test]
fn public_route_table_matches_snapshot() {
    insta::assert_snapshot!(render_route_table(false), @r"
    DELETE /api/v1/connections/{connection_id}
    DELETE /api/v1/recipients/{client_id}
    DELETE /api/v1/recipients/{client_id}/connections/{connection_id}
    DELETE /api/v1/revoke
    GET /
    GET /.well-known/jwks.json
    GET /.well-known/oauth-authorization-server
    GET /.well-known/openid-configuration
    GET /api/fdx/5/accounts
    GET /api/fdx/5/accounts/{account_id}
    GET /api/fdx/5/accounts/{account_id}/contact
    GET /api/fdx/5/accounts/{account_id}/payment-networks
    GET /api/fdx/5/accounts/{account_id}/statements
    GET /api/fdx/5/accounts/{account_id}/statements/{statement_id}
    GET /api/fdx/5/accounts/{account_id}/transactions
    GET /api/fdx/5/availability
    GET /api/fdx/5/capability
    GET /api/fdx/5/certification-metrics
    GET /api/fdx/5/customers/current
    GET /api/v1/authorize
    GET /api/v1/authorize/providers
    GET /api/v1/connections
    GET /api/v1/connections/{connection_id}
    GET /api/v1/providers
    GET /api/v1/providers/{provider_id}
    GET /api/v1/recipients
    GET /api/v1/recipients/providers/requests
    GET /api/v1/recipients/{client_id}
    GET /api/v1/recipients/{client_id}/connections
    GET /api/v1/recipients/{client_id}/connections/{connection_id}
    GET /api/v1/recipients/{client_id}/providers/requests
    GET /api/v1/recipients/{client_id}/providers/{provider_id}
    GET /api/v2/providers
    GET /callback/{provider_id}
    GET /consent/{request_id}
    GET /docs
    GET /docs/{document}
    GET /livez
    GET /metrics
    GET /openapi/admin.json
    GET /openapi/fdx.json
    GET /openapi/flinks.json
    GET /readyz
    GET /static/bowline.css
    GET /static/bowline.svg
    GET /static/docs.css
    POST /api/v1/recipients
    POST /api/v1/recipients/providers/requests/{recipient_ids}/{provider_ids}
    POST /api/v1/recipients/{client_id}/secret
    POST /api/v1/revoke
    POST /api/v1/token
    POST /callback/{provider_id}
    POST /consent/{request_id}
    PUT /api/v1/recipients/{client_id}
    ");
}

#[test]
fn admin_route_table_matches_snapshot() {
    insta::assert_snapshot!(render_route_table(true), @r"
    DELETE /admin/v1/operators/{operator_id}
    DELETE /admin/v1/recipients/{client_id}
    GET /admin/v1/audit
    GET /admin/v1/connections
    GET /admin/v1/connections/{connection_id}
    GET /admin/v1/jobs
    GET /admin/v1/operators
    GET /admin/v1/partners
    GET /admin/v1/partners/{client_id}
    GET /admin/v1/providers
    GET /admin/v1/providers/{provider_id}
    GET /admin/v1/recipients
    GET /admin/v1/recipients/{client_id}
    GET /admin/v1/registrations
    GET /admin/v1/registrations/{client_id}/{provider_id}
    POST /admin/v1/connections/{connection_id}/end
    POST /admin/v1/jobs/retry
    POST /admin/v1/jobs/{job_id}/close
    POST /admin/v1/jobs/{job_id}/retry
    POST /admin/v1/operators
    POST /admin/v1/operators/bootstrap
    POST /admin/v1/partners
    POST /admin/v1/partners/{client_id}/reinstate
    POST /admin/v1/partners/{client_id}/secret
    POST /admin/v1/partners/{client_id}/suspend
    POST /admin/v1/providers
    POST /admin/v1/providers/{provider_id}/pause
    POST /admin/v1/providers/{provider_id}/release
    POST /admin/v1/providers/{provider_id}/retire
    POST /admin/v1/providers/{provider_id}/secret
    POST /admin/v1/providers/{provider_id}/test
    POST /admin/v1/recipients
    POST /admin/v1/recipients/{client_id}/reinstate
    POST /admin/v1/recipients/{client_id}/secret
    POST /admin/v1/recipients/{client_id}/suspend
    POST /admin/v1/registrations
    POST /admin/v1/registrations/{client_id}/{provider_id}/activate
    POST /admin/v1/registrations/{client_id}/{provider_id}/approve
    POST /admin/v1/registrations/{client_id}/{provider_id}/reinstate
    POST /admin/v1/registrations/{client_id}/{provider_id}/reject
    POST /admin/v1/registrations/{client_id}/{provider_id}/suspend
    PUT /admin/v1/providers/{provider_id}
    PUT /admin/v1/recipients/{client_id}
    ");
}
