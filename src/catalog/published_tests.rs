//! Where the published descriptions are, and where entries differ from them for a reason. The integration tests, whose mock provider
//! answers by the same descriptions, include this file.

use std::path::{Path, PathBuf};

/// Entries whose description has another name.
const NAMED: &[(&str, &str)] = &[("infusionsoftrest", "infusionsoftrest-v1"), ("keap", "infusionsoftrest")];

/// Hosts that entries write in another way than the descriptions: entry, what the entry writes, what is published, and why.
const HOSTS: &[(&str, &str, &str, &str)] = &[
    ("docusign", "https://{host}/", "https://www.docusign.net/", "accounts are on several hosts"),
    ("jira", "https://{site}.", "https://your-domain.", "an example of a host"),
    ("mailchimp", "https://{dc}.", "https://server.", "a placeholder without braces"),
    ("adyen", "https://{host}/", "https://balanceplatform-api-test.adyen.com/", "the live host differs by account"),
    ("paypal", ".com/v1/reporting/", ".com/v1/reporting/v1/reporting/", "the description has this part in server and path"),
    ("servicenow", ".service-now.com", ".servicenow.com", "a slip of the third party that wrote the description"),
];

/// Entries for which no description is at hand, and why.
pub(super) const UNDESCRIBED: &[(&str, &str)] = &[
    ("azuread", "published as metadata (CSDL), which names types and no paths"),
    ("hal", "a form of answers, not one API"),
    ("json-api", "a form of answers, not one API"),
    ("odata-v2", "a form of answers, not one API"),
    ("odata-v4", "a form of answers, not one API"),
    ("onedrivebusiness", "published as metadata (CSDL), which names types and no paths"),
    ("outlookemail", "published as metadata (CSDL), which names types and no paths"),
    ("sharepoint", "published as metadata (CSDL), which names types and no paths"),
];

/// Facts of entries that the descriptions do not have: entry, resource, fact and why it is in the entry all the same.
#[rustfmt::skip]
pub(super) const EXCEPTIONS: &[(&str, &str, &str, &str)] = &[
    ("asana", "tasks", "record modified_at", "is in an answer only where opt_fields asks for it; the compact record of the description lacks it"),
    ("asana", "tasks", "record created_at", "is in an answer only where opt_fields asks for it; the compact record of the description lacks it"),
    ("asana", "projects", "record modified_at", "is in an answer only where opt_fields asks for it; the compact record of the description lacks it"),
    ("asana", "projects", "record created_at", "is in an answer only where opt_fields asks for it; the compact record of the description lacks it"),
    ("closeio", "tasks", "record id", "the description calls the answer empty; the records of its siblings have it"),
    ("closeio", "tasks", "record date_updated", "the description calls the answer empty; the records of its siblings have it"),
    ("closeio", "tasks", "record date_created", "the description calls the answer empty; the records of its siblings have it"),
    ("commercetools", "auth", "tokenUrl https://auth.{region}.commercetools.com/oauth/token, not https://auth.europe-west1.gcp.commercetools.com/oauth/token", "one of several regions"),
    ("freshdeskv2", "contacts", "query _updated_since", "a third party's description; Open Connectors polls contacts by it"),
    ("github", "releases", "record assets.download_count", "the trimmed description has no members of assets"),
    ("hubspot", "audit-logs", "scope account-info.security.read", "only accounts of the Enterprise plan have it, and others could give no consent at all"),
    ("infusionsoftrest", "appointments", "record id", "Open Connectors polls appointments by it"),
    ("infusionsoftrest", "tasks", "record id", "the endpoints of one task take it"),
    ("notion", "pages", "answer next_cursor", "the description has no schemas of answers"),
    ("notion", "pages", "record id", "the description has no schemas of answers"),
    ("notion", "pages", "record last_edited_time", "the description has no schemas of answers"),
    ("notion", "pages", "record created_time", "the description has no schemas of answers"),
    ("notion", "pages", "record in_trash", "the description has no schemas of answers"),
    ("notion", "rows", "answer next_cursor", "the description has no schemas of answers"),
    ("notion", "rows", "record id", "the description has no schemas of answers"),
    ("notion", "rows", "record last_edited_time", "the description has no schemas of answers"),
    ("notion", "rows", "record created_time", "the description has no schemas of answers"),
    ("notion", "users", "answer next_cursor", "the description has no schemas of answers"),
    ("notion", "users", "record id", "the description has no schemas of answers"),
    ("slack", "auth", "authorizationUrl https://slack.com/oauth/v2/authorize, not https://slack.com/oauth/authorize", "the description of 2021 has the version before"),
    ("slack", "auth", "tokenUrl https://slack.com/api/oauth.v2.access, not https://slack.com/api/oauth.access", "the description of 2021 has the version before"),
    ("slack", "messages", "answer response_metadata.next_cursor", "the description of 2021 leaves it out of this answer"),
    ("slack", "channels", "record id", "the description of 2021 leaves it out of this answer"),
    ("slack", "users", "answer response_metadata.next_cursor", "the description of 2021 leaves it out of this answer"),
    ("slack", "users", "record id", "the description of 2021 leaves it out of this answer"),
    ("slack", "users", "record deleted", "the description of 2021 leaves it out of this answer"),
    ("webflow", "pages", "scope page:read", "a slip of the description, whose list of scopes has pages:read"),
    ("xero", "auth", "scope offline_access is not known", "[K]: it brings the refresh token"),
    ("zendesk", "organizations", "record deleted_at", "[K]: a deleted organization has it"),
    ("zohocrm", "auth", "scope ZohoCRM.modules.ALL", "it writes, too; [K]: to read, ZohoCRM.modules.READ suffices"),
    ("zohocrm", "auth", "scope ZohoCRM.users.READ is not known", "[K]: the list of users needs it"),
];

/// Where the published descriptions are.
pub(super) fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/openapi");
    std::env::var_os("POLLINATOR_DESCRIPTIONS").map_or_else(beside, PathBuf::from)
}

/// The file with what was published of an entry.
pub(super) fn file_name(key: &str) -> String {
    let name = NAMED.iter().find(|(entry, _)| *entry == key).map_or(key, |(_, name)| name);
    format!("{name}.json")
}

/// The method of a resource as descriptions write it.
pub(super) fn method(of: Option<impl serde::Serialize>) -> &'static str {
    let of = serde_json::to_value(of).unwrap_or_default();
    if of == "POST" { "POST" } else { "GET" }
}

/// The address of a resource, its placeholders unfilled, with the host that the description has.
pub(super) fn address(key: &str, base: Option<&str>, url: Option<&str>) -> String {
    let address = joined(base, url);
    let hosts = HOSTS.iter().filter(|(entry, ..)| *entry == key);
    hosts.fold(address, |address, (_, ours, published, _)| address.replacen(ours, published, 1))
}

/// The address of a resource as its entry has it.
pub(super) fn joined(base: Option<&str>, url: Option<&str>) -> String {
    let (base, url) = (base.unwrap_or_default(), url.unwrap_or_default());
    if url.starts_with("https://") {
        return url.to_owned();
    }
    format!("{}/{}", base.trim_end_matches('/'), url.trim_start_matches('/'))
}
