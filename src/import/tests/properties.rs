//! What holds for any input.

use proptest::prelude::*;

use super::*;

/// A word that no other value has.
const CANARY: &str = "hunter2canary";

fn json_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just(String::new()),
        Just("null".to_owned()),
        Just("********".to_owned()),
        Just("<minutes>".to_owned()),
        Just("/hubs/crm/appointments?where=a>'${date:yyyy-MM-dd}' and b='c'&x=${since}".to_owned()),
        "\\PC{0,30}",
        "[a-z$|{}'?&=/:.<>]{0,30}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = prop_oneof![
            prop::sample::select(vec![
                "element",
                "key",
                "name",
                "id",
                "tags",
                "providerData",
                "code",
                "configuration",
                "url",
                "idField",
                "datesConfiguration",
                "updatedDateField",
                "updatedDateFormat",
                "updatedDateTimezone",
                "event.poller.configuration",
                "event.poller.urls",
                "event.notification.callback.url",
                "event.notification.callback.headers",
                "event.notification.enabled",
                "base.url",
                "oauth.api.key",
                "event.objects",
                "resources",
                "path",
                "vendorPath",
                "method",
                "propertyValue",
                "elementInstance",
                "defaultValue",
                "pageSize",
                "rootKey",
                "parameters",
                "authentication",
                "type",
            ])
            .prop_map(str::to_owned),
            "[a-z.]{1,8}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The page's body in which some members are replaced by anything.
fn bodies() -> impl Strategy<Value = Value> {
    let pointers = vec![
        "/element",
        "/providerData",
        "/configuration",
        "/tags",
        "/name",
        "/id",
        "/other",
        "/configuration/oauth.api.secret",
        "/configuration/event.poller.configuration",
        "/configuration/event.poller.urls",
        "/configuration/event.notification.callback.url",
        "/configuration/event.notification.callback.headers",
        "/configuration/event.poller.refresh_interval",
        "/configuration/event.notification.enabled",
        "/configuration/zone",
        "/configuration/event.poller.configuration/appointments",
        "/configuration/event.poller.configuration/appointments/url",
        "/configuration/event.poller.configuration/appointments/datesConfiguration",
        "/configuration/event.poller.configuration/appointments/datesConfiguration/updatedDateFormat",
    ];
    prop::collection::vec((prop::sample::select(pointers), json_value()), 0..4).prop_map(|changes| {
        let mut body = page();
        for (pointer, value) in changes {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            if let Some(Value::Object(parent)) = body.pointer_mut(parent) {
                parent.insert(name.to_owned(), value);
            }
        }
        body
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_no_field_is_lost(body in bodies()) {
        let imported = import_one(&body);
        if imported.errors.is_empty() {
            assert_every_field_once(&body, &imported);
        }
    }

    #[test]
    fn any_json_is_imported_or_refused(value in json_value()) {
        let imported = import_one(&value);
        if imported.errors.is_empty() {
            assert_every_field_once(&value, &imported);
        }
    }

    #[test]
    fn any_text_is_imported_or_refused(text in "\\PC{0,60}") {
        import_text(&text);
    }

    /// Whatever the name of a secret, and whatever else is wrong with the body.
    #[test]
    fn no_secret_leaves_the_secrets(
        mut body in bodies(),
        key in prop::sample::select(vec![
            "oauth.api.key", "oauth.api.secret", "oauth.user.token", "oauth.user.refresh_token", "password", "user.password",
            "shop.api.key", "api_key", "authentication.token", "event.notification.signature.key",
            "event.notification.basic.password", "event.notification.callback.headers", "private.key", "client.secret",
        ]),
        shape in 0..3,
    ) {
        let value = match shape {
            0 => json!(CANARY),
            1 => json!(format!(" {CANARY}: {CANARY} ")),
            _ => json!({"a": [CANARY], "b": CANARY}),
        };
        if let Some(Value::Object(settings)) = body.pointer_mut("/configuration") {
            settings.insert(key.to_owned(), value.clone());
            settings.insert("event.notification.basic.username".to_owned(), json!("u"));
        }
        body["token"] = json!(CANARY);
        if let Some(Value::Object(data)) = body.pointer_mut("/providerData") {
            data.insert("code".to_owned(), value);
        }
        let imported = import_one(&body);
        prop_assert!(!imported.report.to_string().contains(CANARY), "{}", imported.report);
        let debug = format!("{imported:?}");
        prop_assert!(!debug.contains(CANARY));
        for file in imported.files.iter().filter(|file| !file.is_secret) {
            prop_assert!(!file.text.contains(CANARY), "{}", file.text);
        }
        prop_assert!(imported.errors.iter().all(|error| !error.contains(CANARY)));
    }
}
