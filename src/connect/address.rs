//! Where the connect page is found from outside.

use std::fmt;

use crate::api::identity::InstanceRef;
use url::{Host, Url};

/// Path of the place to which providers send people back.
pub const CALLBACK: &str = "/connect/callback";

/// The origin under which people reach the connect page, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectUrl {
    origin: String,
    is_secure: bool,
}

impl ConnectUrl {
    /// Reads an origin such as `https://pollinator.example.com`.
    ///
    /// # Errors
    /// What is wrong with it, as words that follow the name of the option.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
        let Some(url) = url else { return Err("must be an https URL such as https://pollinator.example.com".to_owned()) };
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || url.username() != ""
            || url.password().is_some()
        {
            return Err("must end with its host or port: no path, query, fragment or user".to_owned());
        }
        let is_secure = url.scheme() == "https";
        if !is_secure && !is_loopback(&url) {
            return Err("must be https, since codes travel in its URLs; http is for loopback alone".to_owned());
        }
        Ok(Self { origin: url.origin().ascii_serialization(), is_secure })
    }

    /// Reached over https.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The page of an instance.
    pub fn page(&self, instance: &InstanceRef) -> String {
        format!("{}{}", self.origin, path(&instance.namespace, &instance.name))
    }

    /// The redirect URI (RFC 6749 §3.1.2), exactly as it is registered at providers.
    pub fn callback(&self) -> String {
        format!("{}{CALLBACK}", self.origin)
    }
}

impl fmt::Display for ConnectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

/// Path of the page of an instance. Namespaces and names need no encoding.
pub fn path(namespace: &str, name: &str) -> String {
    format!("/connect/{namespace}/{name}")
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_taken_and_nothing_else() {
        let url = ConnectUrl::parse("https://Pollinator.example.com/").unwrap();
        assert_eq!(url.callback(), "https://pollinator.example.com/connect/callback");
        assert_eq!(url.page(&InstanceRef::new("crm", "keap")), "https://pollinator.example.com/connect/crm/keap");
        assert!(url.is_secure());
        for local in ["http://127.0.0.1:8081", "http://localhost:1", "http://[::1]:1", "http://a.localhost"] {
            assert!(!ConnectUrl::parse(local).unwrap().is_secure());
        }
        assert_eq!(ConnectUrl::parse("https://a.example:8443").unwrap().callback(), "https://a.example:8443/connect/callback");
        for refused in [
            "",
            "pollinator.example.com",
            "ftp://a.example",
            "http://a.example",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "https://a.example/path",
            "https://a.example/?q",
            "https://a.example/#f",
            "https://u@a.example",
            "https://u:p@a.example",
        ] {
            assert!(ConnectUrl::parse(refused).is_err(), "{refused}");
        }
    }
}
