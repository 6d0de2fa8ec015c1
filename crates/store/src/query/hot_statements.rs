//! The list of statements on hot paths, for the test that each of them uses an index.

use super::{
    access, audit, authorization_request, clients, connections, credential, jobs, operator, provider,
    recipient, registrations, removal,
};
use crate::command::{
    client, credential as credential_command, delete_tokens, end_connection, end_facts, former_settings,
    invalid_grant, job_count, open_connection, purge, record_access_denials, recover_exchange, refresh_stats,
    resolve_failed_job, run_job, set_metadata, upstream_client,
};
use crate::entity;
use crate::sql::{Sql, Statement};

/// Returns the statements on hot paths: those that run for requests, jobs or searches.
pub fn hot_statements() -> Vec<Statement> {
    let groups: [&[&'static Sql]; 45] = [
        entity::access_state::HOT_STATEMENTS,
        entity::authorization_code::HOT_STATEMENTS,
        entity::authorization_request::HOT_STATEMENTS,
        entity::client::HOT_STATEMENTS,
        entity::connection::HOT_STATEMENTS,
        entity::former_settings::HOT_STATEMENTS,
        entity::job::HOT_STATEMENTS,
        entity::operator::HOT_STATEMENTS,
        entity::provider::STATEMENTS_IN_MEMORY,
        entity::provider::HOT_STATEMENTS,
        entity::registration::HOT_STATEMENTS,
        client::HOT_STATEMENTS,
        credential_command::HOT_STATEMENTS,
        delete_tokens::HOT_STATEMENTS,
        end_connection::HOT_STATEMENTS,
        end_facts::HOT_STATEMENTS,
        former_settings::HOT_STATEMENTS,
        invalid_grant::HOT_STATEMENTS,
        job_count::HOT_STATEMENTS,
        open_connection::HOT_STATEMENTS,
        purge::HOT_STATEMENTS,
        record_access_denials::HOT_STATEMENTS,
        recover_exchange::HOT_STATEMENTS,
        refresh_stats::HOT_STATEMENTS,
        resolve_failed_job::HOT_STATEMENTS,
        run_job::HOT_STATEMENTS,
        set_metadata::HOT_STATEMENTS,
        upstream_client::HOT_STATEMENTS,
        access::HOT_STATEMENTS,
        audit::HOT_STATEMENTS,
        audit::SEARCHES,
        authorization_request::HOT_STATEMENTS,
        clients::HOT_STATEMENTS,
        clients::SEARCHES,
        connections::HOT_STATEMENTS,
        connections::SEARCHES,
        credential::HOT_STATEMENTS,
        jobs::HOT_STATEMENTS,
        jobs::SEARCHES,
        operator::HOT_STATEMENTS,
        provider::HOT_STATEMENTS,
        recipient::HOT_STATEMENTS,
        registrations::HOT_STATEMENTS,
        registrations::SEARCHES,
        removal::HOT_STATEMENTS,
    ];
    groups.concat().into_iter().map(Statement).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of a search must bound the scan at both ends, and rows must not be sorted. Otherwise a search reads more
    /// rows than its window.
    #[test]
    fn searches_read_only_the_keys_of_their_window() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        crate::sqlite::migrate(&path, crate::migrate::StorePurpose::Hub).unwrap();
        let connection = rusqlite::Connection::open(&path).unwrap();
        let searches = [
            audit::SEARCHES,
            clients::SEARCHES,
            connections::SEARCHES,
            jobs::SEARCHES,
            registrations::SEARCHES,
        ];

        for sql in searches.concat() {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", sql.sqlite)).unwrap();
            let lines = statement.raw_query().mapped(|row| row.get::<_, String>("detail"));
            let plan: Vec<String> = lines.map(Result::unwrap).collect();

            // These find one connection, the registrations of one recipient, and the audit chain of one subject.
            let is_short = ["connections by id", "registrations by recipient", "audit events by subject"]
                .iter()
                .any(|search| sql.name().ends_with(search));
            let is_bounded = plan
                .iter()
                .any(|line| line.contains(")>(?") && line.contains(")<(?") || line.contains("id>? AND id<?"));
            assert!(is_bounded || is_short, "{}: {plan:?}", sql.name());
            let sorts = plan.iter().any(|line| line.contains("TEMP B-TREE"));
            assert!(!sorts || is_short, "{}: {plan:?}", sql.name());
        }
    }

    #[test]
    fn hot_statements_name_every_result_column_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        crate::sqlite::migrate(&path, crate::migrate::StorePurpose::Hub).unwrap();
        let connection = rusqlite::Connection::open(&path).unwrap();

        for Statement(sql) in hot_statements() {
            let statement = connection.prepare(sql.sqlite).unwrap();
            let names: Vec<&str> = statement.column_names().collect();

            // SQLite and PostgreSQL name an expression without `AS` differently.
            let is_identifier = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(names.iter().all(is_identifier), "{}: {names:?}", sql.name());
            sql.columns(|| names).unwrap();
        }
    }
}
