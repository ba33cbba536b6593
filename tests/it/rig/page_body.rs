//! The JSON body with which the page of Open Connectors creates an instance. Credentials, the names of dates and the interval are those of
//! the doubles.

use serde_json::{Value, json};

use super::oauth_server::{CLIENT_ID, CLIENT_SECRET};

/// The body, with this name, code and callback.
pub fn of(name: &str, code: &str, callback: &str) -> Value {
    json!({
        "element": {"key": "infusionsoftrest"},
        "providerData": {"code": code},
        "configuration": {
            "oauth.api.key": CLIENT_ID,
            "oauth.api.secret": CLIENT_SECRET,
            "oauth.callback.url": "https://mycoolapp.com",
            "event.notification.enabled": true,
            "event.vendor.type": "polling",
            "event.notification.callback.url": callback,
            // six seconds: the page's fifteen minutes are too long for a test
            "event.poller.refresh_interval": "0.1",
            "event.poller.configuration": {"appointments": {
                "url": "/hubs/crm/appointments",
                "idField": "id",
                "datesConfiguration": {
                    "updatedDateField": "modified",
                    "updatedDateFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
                    "updatedDateTimezone": "GMT",
                    "createdDateField": "created",
                    "createdDateFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
                    "createdDateTimezone": "GMT"
                }
            }}
        },
        "tags": ["Docs"],
        "name": name
    })
}
