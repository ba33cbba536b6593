//! Where the dates of a record are and how they are written, as users declare it.

use kube::KubeSchema;
use kube::core::Rule;
use serde::{Deserialize, Serialize};

/// Fields, Java date patterns and time zones of the dates in a record; the names are those of SAP Open Connectors.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DatesConfiguration {
    /// Path to the date of the last change. Default: the connector's, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub updated_date_field: Option<String>,
    /// Java date pattern, `milliseconds` or `seconds`. Default: the connector's, else RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = date_pattern())]
    pub updated_date_format: Option<String>,
    /// Time zone of dates without one: IANA name, offset or abbreviation. Default: the connector's, else GMT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_+:/{}-]+$"))]
    pub updated_date_timezone: Option<String>,
    /// Path to the date of creation. Default: the connector's, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub created_date_field: Option<String>,
    /// Java date pattern, `milliseconds` or `seconds`. Default: the connector's, else RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = date_pattern())]
    pub created_date_format: Option<String>,
    /// Time zone of dates without one: IANA name, offset or abbreviation. Default: the connector's, else GMT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_+:/{}-]+$"))]
    pub created_date_timezone: Option<String>,
}

/// Coarse on purpose: the planner reads the pattern in full.
pub(super) fn date_pattern() -> Rule {
    Rule::new(r"self in ['milliseconds', 'seconds'] || self.matches('^([^A-Za-z\']|[GyYuMLwWDdFEaHkKhmsSnzZXV]|\'[^\']*\')+$')")
        .message("must be a Java date pattern with closed quotes such as yyyy-MM-dd'T'HH:mm:ssXXX, or milliseconds, or seconds")
}
