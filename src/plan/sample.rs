//! Plans for tests.

use std::sync::Arc;
use std::time::Duration;

use super::date_format::DateFormat;
use super::error_rules::{self, ErrorRule};
use super::field_path::FieldPath;
use super::id::IdPlan;
use super::template::Template;
use super::{
    AuthPlan, CallbackPlan, ChangeBy, DateField, DeletedFlag, EventFormat, ExtractPlan, Oauth2Plan, Order, PaginationPlan,
    PollPlan, RecordsAs, RefreshPlan, RequestPlan, ResourcePlan, StartFrom, TokenResponsePlan,
};
use crate::api::auth::{ClientPlace, ExpiresUnit, Grant};
use crate::api::identity::InstanceRef;
use crate::api::resource::Resource;

/// A rule as it is written.
pub fn error_rule(yaml: &str) -> ErrorRule {
    let rules = vec![serde_saphyr::from_str(yaml).unwrap()];
    error_rules::plan(&Resource { name: "contacts".to_owned(), error_rules: rules, ..Resource::default() }).unwrap().remove(0)
}

/// A list of contacts with updated and created dates and tombstones.
pub fn resource() -> ResourcePlan {
    let url = "https://api.example.com/v2/contacts?since=${since}";
    let date =
        |name: &str| Some(DateField { path: FieldPath::parse(name).unwrap(), format: DateFormat::new(None, None).unwrap() });
    ResourcePlan {
        name: "contacts".into(),
        request: RequestPlan {
            method: http::Method::GET,
            origin: url::Url::parse("https://api.example.com").unwrap().origin(),
            url: Template::parse(url).unwrap(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
        },
        auth: Arc::new(AuthPlan::None),
        tls: None,
        extract: Arc::new(ExtractPlan {
            records_path: None,
            records_as: RecordsAs::List,
            id: IdPlan::Field(FieldPath::parse("id").unwrap()),
            updated: date("updated"),
            created: date("created"),
            deleted: Some(DeletedFlag { path: FieldPath::parse("deleted").unwrap(), value: None }),
            ignored: Vec::new(),
            filter: None,
            shape: crate::plan::shaping::Shape::default(),
            error_rules: Vec::new(),
        }),
        change_by: ChangeBy::Updated,
        compare_content: false,
        created_tolerance: Duration::from_secs(10),
        lookback: Duration::ZERO,
        lateness: Duration::ZERO,
        max_future: Duration::from_hours(24),
        max_age: None,
        full_sweep: None,
        order: Order::Unordered,
        snapshot: None,
        deleted_list: None,
        pagination: PaginationPlan::None,
        delta: None,
        feed: None,
        changes: None,
        detail: None,
        for_each: None,
        list_of: None,
        result_cap: None,
        page_size: None,
        interval: Duration::from_mins(1),
        start_from: StartFrom::Now,
        limits: None,
        meaning: 7,
    }
}

/// An instance with one resource.
pub fn instance(resource: ResourcePlan) -> PollPlan {
    PollPlan {
        probe: None,
        instance: InstanceRef::new("crm", "keap"),
        title: None,
        generation: Some(3),
        connector: None,
        tags: Vec::new(),
        suspended: false,
        callback: Arc::new(CallbackPlan {
            url: url::Url::parse("https://hooks.example.org/in").unwrap(),
            format: EventFormat::CloudEvents,
            signature: None,
            headers_secret: None,
            auth: Arc::new(AuthPlan::None),
            tls: None,
            max_in_flight: 8,
            timeout: Duration::from_secs(15),
        }),
        resources: vec![Arc::new(resource)],
    }
}

/// OAuth 2.0 with a refresh token, everything else as by default.
pub fn oauth2() -> Oauth2Plan {
    let path = |text: &str| FieldPath::parse(text).unwrap();
    Oauth2Plan {
        field: "spec.auth.oauth2",
        grant: Grant::RefreshToken,
        token_url: url::Url::parse("https://login.example.com/token").unwrap(),
        authorization_url: None,
        issuer: None,
        scopes: Vec::new(),
        audience: None,
        extra_parameters: std::collections::BTreeMap::new(),
        client_for_code: ClientPlace::Basic,
        client_for_refresh: ClientPlace::Basic,
        secret: "oauth".to_owned(),
        tls: None,
        jwt: super::JwtPlan { issuer: None, subject: None, audience: None, lifetime: Duration::from_mins(1) },
        response: TokenResponsePlan {
            access_token: path("access_token"),
            refresh_token: path("refresh_token"),
            expires_in: path("expires_in"),
            expires_unit: ExpiresUnit::Seconds,
        },
        refresh: RefreshPlan { rotates: None, grace: Duration::ZERO, idle_ttl: None },
    }
}

/// OAuth 2.0 with consent at this address.
pub fn oauth2_with_consent(authorization_url: &str) -> Oauth2Plan {
    Oauth2Plan {
        grant: Grant::AuthorizationCode,
        token_url: url::Url::parse("https://login.example/token").unwrap(),
        authorization_url: Some(url::Url::parse(authorization_url).unwrap()),
        ..oauth2()
    }
}
