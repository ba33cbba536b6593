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
        Self::read(text, "codes travel in its URLs")
    }

    /// Reads the origin of the console.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of_console(text: &str) -> Result<Self, String> {
        Self::read(text, "credentials travel in its requests")
    }

    /// `risk`: why it must be https.
    fn read(text: &str, risk: &str) -> Result<Self, String> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
        let Some(url) = url else { return Err("must be an https URL such as https://pollinator.example.com".to_owned()) };
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || url.username() != ""
            || url.password().is_some()
        {
            return Err("must have no path, query, fragment or user".to_owned());
        }
        let is_secure = url.scheme() == "https";
        if !is_secure && !is_loopback(&url) {
            return Err(format!("must be https, since {risk}; http is for loopback alone"));
        }
        Ok(Self { origin: url.origin().ascii_serialization(), is_secure })
    }

    /// Reached over https.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Is this the value of the header `Host` that browsers send which were given this origin (RFC 9110 §7.2)?
    pub fn is_host(&self, host: &str) -> bool {
        // A host with a slash, a question mark or an @ would be another part of the URL.
        let is_plain = !host.is_empty() && !host.contains(['/', '\\', '?', '#', '@']) && !host.contains(char::is_whitespace);
        let scheme = if self.is_secure { "https" } else { "http" };
        is_plain && Url::parse(&format!("{scheme}://{host}")).is_ok_and(|url| url.origin().ascii_serialization() == self.origin)
    }

    /// Whether a page of this origin, or no page at all, sent a form. `origin` and `site`: the headers `Origin` (RFC 6454) and
    /// `Sec-Fetch-Site` (Fetch Metadata). Browsers have sent at least one of the two with every form for years; a client that sends neither
    /// is not a browser and has no cookie of ours to misuse. An opaque origin (`null`) says nothing, so the other header must.
    pub fn is_own_form(&self, origin: Option<&str>, site: Option<&str>) -> bool {
        let is_own_origin = origin == Some(&self.origin);
        match site {
            Some("same-origin" | "none") => is_own_origin || matches!(origin, None | Some("null")),
            Some(_) => false,
            None => is_own_origin || origin.is_none(),
        }
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

    #[test]
    fn a_host_is_that_of_the_origin_with_or_without_its_default_port() {
        let url = ConnectUrl::parse("https://pollinator.example.com").unwrap();
        for own in ["pollinator.example.com", "Pollinator.Example.com", "pollinator.example.com:443"] {
            assert!(url.is_host(own), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "pollinator.example.com:8443",
            "pollinator.example.com:80",
            "pollinator.example.com.evil.example",
            "pollinator.example.com@evil.example",
            "evil.example@pollinator.example.com",
            "pollinator.example.com/x",
            "pollinator.example.com#",
            " pollinator.example.com",
            "pollinator.exa\tmple.com",
            "127.0.0.1:8081",
        ] {
            assert!(!url.is_host(other), "{other}");
        }
        let local = ConnectUrl::parse("http://[::1]:8081").unwrap();
        assert!(local.is_host("[::1]:8081") && !local.is_host("[::1]") && !local.is_host("localhost:8081"));
    }

    #[test]
    fn a_form_is_sent_by_the_page_itself() {
        let url = ConnectUrl::parse("https://a.example").unwrap();
        let (own, null, other) = (Some("https://a.example"), Some("null"), Some("https://b.example"));
        for (origin, site, expected) in [
            (own, Some("same-origin"), true),
            (null, Some("same-origin"), true),
            (None, Some("same-origin"), true),
            (None, Some("none"), true),
            (own, None, true),
            (None, None, true),
            (null, None, false),
            (other, None, false),
            (Some(""), None, false),
            (Some("http://a.example"), None, false),
            (Some("https://a.example:8443"), None, false),
            (other, Some("same-origin"), false),
            (other, Some("none"), false),
            (own, Some("same-site"), false),
            (own, Some("cross-site"), false),
            (null, Some("cross-site"), false),
            (own, Some("unheard-of"), false),
        ] {
            assert_eq!(url.is_own_form(origin, site), expected, "{origin:?} {site:?}");
        }
    }
}
