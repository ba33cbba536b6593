//! The parameters of a definition that are sent with every request: a constant, or the value of a setting, in a header or in the query.

use serde_json::Value;

use super::hub::with_dashes;
use crate::api::secrecy::{is_secret, is_secret_name};

/// What a parameter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Injected {
    /// A header with its template.
    Header(String, String),
    /// A query parameter with its template.
    Query(String, String),
    /// A setting whose placeholder is in paths.
    Path(String),
    /// A credential, by the name of its header.
    HeaderCredential(String),
    /// A credential, by the name of its query parameter.
    QueryCredential(String),
    /// It is of the caller, of an answer, or of the converters of the platform.
    Elsewhere,
    /// It belongs somewhere that polls have no field for.
    Unknown,
}

impl Injected {
    /// Reads an item of `parameters`.
    pub fn read(item: &Value) -> Self {
        let text = |name: &str| item[name].as_str().unwrap_or_default().trim();
        let (name, vendor) = (text("name"), text("vendorName"));
        let is_setting = match text("type").to_ascii_lowercase().as_str() {
            "value" => false,
            "configuration" => true,
            _ => return Self::Elsewhere,
        };
        if text("source").eq_ignore_ascii_case("response") {
            return Self::Elsewhere;
        }
        if name.is_empty() || vendor.is_empty() || vendor.len() > 128 {
            return Self::Unknown;
        }
        let is_credential = is_secret_name(vendor) || if is_setting { is_secret_name(name) } else { is_secret(vendor, name) };
        let template = if is_setting { with_dashes(&format!("{{{name}}}")) } else { name.to_owned() };
        match (text("vendorType").to_ascii_lowercase().as_str(), is_credential) {
            ("header", true) => Self::HeaderCredential(vendor.to_owned()),
            ("query", true) => Self::QueryCredential(vendor.to_owned()),
            ("header", false) => Self::Header(vendor.to_owned(), template),
            ("query", false) => Self::Query(vendor.to_owned(), template),
            ("path", _) if is_setting => Self::Path(name.to_owned()),
            _ => Self::Unknown,
        }
    }

    /// The setting that a template stands for, as the name of a parameter.
    pub fn parameter(&self) -> Option<String> {
        match self {
            Self::Header(_, template) | Self::Query(_, template) => {
                Some(template.strip_prefix('{')?.strip_suffix('}')?.to_owned())
            }
            Self::Path(name) => Some(name.replace('.', "-")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn constants_and_settings_go_into_headers_and_queries() {
        let own = |text: &str| text.to_owned();
        for (name, vendor, kind, place, expected) in [
            ("application/json", "Accept", "value", "header", Injected::Header(own("Accept"), own("application/json"))),
            ("client.id", "x-client-id", "configuration", "header", Injected::Header(own("x-client-id"), own("{client-id}"))),
            ("5.4", "apiversion", "value", "query", Injected::Query(own("apiversion"), own("5.4"))),
            ("company.name", "company.name", "configuration", "path", Injected::Path(own("company.name"))),
            ("shop.api.key", "X-Key", "configuration", "header", Injected::HeaderCredential(own("X-Key"))),
            ("hunter2", "api_key", "value", "query", Injected::QueryCredential(own("api_key"))),
            ("where", "q", "query", "query", Injected::Elsewhere),
            ("a", "b", "value", "body", Injected::Unknown),
            ("", "b", "value", "query", Injected::Unknown),
        ] {
            let item = json!({"name": name, "vendorName": vendor, "type": kind, "vendorType": place, "source": "request"});
            let read = Injected::read(&item);
            assert_eq!(read, expected, "{item}");
            let is_template = kind == "configuration" && !matches!(read, Injected::HeaderCredential(_));
            assert_eq!(read.parameter().is_some(), is_template, "{item}");
        }
    }
}
