//! Host names to addresses, past the guard: what a name resolves to is checked at the moment of connecting, so that a name which changes
//! its address between two look-ups gains nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::error::Denial;
use super::guard::EgressPolicy;

/// Looks a name up.
pub(super) type Lookup = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// A resolver behind the guard.
pub(super) struct GuardedResolver {
    pub(super) policy: Arc<EgressPolicy>,
    pub(super) lookup: Arc<Lookup>,
}

impl GuardedResolver {
    /// The system's.
    pub(super) fn of_system(policy: &Arc<EgressPolicy>) -> Self {
        let lookup = |name: String| {
            let found = async move { tokio::net::lookup_host((name, 0)).await.map(Iterator::collect::<Vec<_>>) };
            found.boxed()
        };
        Self { policy: Arc::clone(policy), lookup: Arc::new(lookup) }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        let found = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let host = name.as_str();
            let found = found.await?;
            let allowed = permitted(&policy, host, found)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The addresses that may be connected to; an error if there are some and all of them are denied.
fn permitted(policy: &EgressPolicy, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Denial> {
    let mut denied = None;
    let mut allowed = found;
    allowed.retain(|address| match policy.judge(host, address.ip()) {
        Ok(()) => true,
        Err(class) => {
            denied.get_or_insert(class);
            false
        }
    });
    match denied {
        Some(class) if allowed.is_empty() => Err(Denial { host: host.to_owned(), class }),
        _ => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::AddressClass;
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().expect(text), 0)).collect()
    }

    #[test]
    fn denied_addresses_are_left_out() {
        let policy = EgressPolicy::default();
        let allowed =
            permitted(&policy, "api.example", addresses(&["127.0.0.1", "8.8.8.8", "fd00::1"])).expect("one is public");
        assert_eq!(allowed, addresses(&["8.8.8.8"]));
    }

    #[test]
    fn only_denied_addresses_are_a_denial() {
        let policy = EgressPolicy::default();
        let denial = permitted(&policy, "api.example", addresses(&["10.0.0.1", "127.0.0.1"])).expect_err("all are denied");
        assert_eq!(denial, Denial { host: "api.example".to_owned(), class: AddressClass::Private });
    }

    #[test]
    fn no_address_is_no_denial() {
        assert_eq!(permitted(&EgressPolicy::default(), "api.example", Vec::new()), Ok(Vec::new()));
    }
}
