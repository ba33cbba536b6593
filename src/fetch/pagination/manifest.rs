//! A pagination as it is written in a manifest, to be pinned there. Pure.

use crate::plan::{PaginationPlan, ValueAt};

/// A pagination as it is written in a manifest, to be pinned there.
pub fn manifest_text(pagination: &PaginationPlan) -> String {
    let at = |at: &ValueAt| match at {
        ValueAt::Field(path) => format!("field: {}", scalar(&path.to_string())),
        ValueAt::Header(name) => format!("header: {}", scalar(name.as_str())),
    };
    let size = |size: &Option<String>| size.as_ref().map(|s| format!(", sizeParameter: {}", scalar(s))).unwrap_or_default();
    match pagination {
        PaginationPlan::Detect => "detected from the first answer".to_owned(),
        PaginationPlan::None => "none: {}".to_owned(),
        PaginationPlan::LinkHeader => "linkHeader: {}".to_owned(),
        PaginationPlan::NextLink(from) => format!("nextLink: {{{}}}", at(from)),
        PaginationPlan::Token { from, parameter, place } => {
            format!("token: {{{}, parameter: {}, in: {place:?}}}", at(from), scalar(parameter))
        }
        PaginationPlan::LastId { field, parameter, place } => {
            let field = field.as_ref().map(|field| format!(", field: {}", scalar(&field.to_string()))).unwrap_or_default();
            format!("lastId: {{parameter: {}, in: {place:?}{field}}}", scalar(parameter))
        }
        PaginationPlan::Keyset { size_parameter } => {
            let size = size_parameter.as_ref().map(|name| format!("sizeParameter: {}", scalar(name))).unwrap_or_default();
            format!("keyset: {{{size}}}")
        }
        PaginationPlan::Offset { parameter, size_parameter } => {
            format!("offset: {{parameter: {}{}}}", scalar(parameter), size(size_parameter))
        }
        PaginationPlan::Page { parameter, first, size_parameter } => {
            let first = first.unwrap_or(1);
            format!("page: {{parameter: {}, first: {first}{}}}", scalar(parameter), size(size_parameter))
        }
    }
}

/// A YAML scalar: plain where that is safe, else quoted as JSON is.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
