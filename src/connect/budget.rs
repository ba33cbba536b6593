//! How many requests that cost work each client may make. Pure.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use crate::egress::pace::Pace;

/// What may be used at once, and how fast it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests at once.
    pub burst: u32,
    /// Requests that come again each second.
    pub each_second: u32,
}

/// Of one client: people click, they do not hammer.
pub const CLIENT: Rate = Rate { burst: 60, each_second: 10 };
/// Of all clients together, for the sake of the API server: a client at its full pace takes a fifth of it.
pub const ALL: Rate = Rate { burst: 300, each_second: 50 };
/// The part of [`ALL`] that is kept for clients that have most of their own budget left, so that many that hammer do not lock the
/// others out.
const RESERVE: u32 = 60;
/// Clients that are remembered, in some 200 KiB.
const MAX_CLIENTS: usize = 4096;

impl Rate {
    /// The time after which this number of requests is available again.
    fn time_of(self, requests: u32) -> Duration {
        Duration::from_secs(1) * requests / self.each_second
    }

    /// Takes one request, if more than `reserve` are left.
    fn take(self, pace: &mut Pace, reserve: u32, now: Instant) -> bool {
        pace.admit(self.time_of(1), self.time_of(self.burst - reserve), now)
    }
}

/// Whose budget it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    Address(IpAddr),
    /// By the hash of what only the session has.
    Session(u64),
}

/// The budgets of all clients. At first, no one has used anything.
#[derive(Debug)]
pub struct Budgets {
    client: Rate,
    clients: HashMap<Client, Pace>,
    rate: Rate,
    all: Pace,
}

impl Default for Budgets {
    fn default() -> Self {
        Self::of(CLIENT, ALL)
    }
}

impl Budgets {
    /// Budgets of other rates, of one client and of all. `RESERVE` must be less than the burst of all.
    pub fn of(client: Rate, all: Rate) -> Self {
        Self { client, clients: HashMap::new(), rate: all, all: Pace::default() }
    }

    /// Takes one request out of the budget of a client and of that of all, if both have one. Who asks in vain pays, too: a client that
    /// goes on hammering never gets back what it needs for the reserve.
    pub fn take(&mut self, client: IpAddr, now: Instant) -> bool {
        self.take_of(Client::Address(key(client)), now)
    }

    /// The same for a session, wherever it is: many people may be behind one proxy.
    pub fn take_session(&mut self, session: &str, now: Instant) -> bool {
        self.take_of(Client::Session(xxh3_64(session.as_bytes())), now)
    }

    fn take_of(&mut self, key: Client, now: Instant) -> bool {
        if !self.clients.contains_key(&key) && self.clients.len() >= MAX_CLIENTS {
            // A client that has its whole budget again need not be remembered.
            self.clients.retain(|_, pace| !pace.level(now).is_zero());
            if self.clients.len() >= MAX_CLIENTS {
                return self.rate.take(&mut self.all, RESERVE, now);
            }
        }
        let pace = self.clients.entry(key).or_default();
        let Rate { burst, .. } = self.client;
        let has_most = pace.level(now) + self.client.time_of(1) <= self.client.time_of(burst / 2);
        let reserve = if has_most { 0 } else { RESERVE };
        self.client.take(pace, 0, now) && self.rate.take(&mut self.all, reserve, now)
    }
}

/// Who counts as one client: an IPv4 address, or the 64 bits of an IPv6 address that a network gives to one customer at least.
fn key(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn granted(budgets: &mut Budgets, client: IpAddr, tries: u32, now: Instant) -> u32 {
        (0..tries).map(|_| u32::from(budgets.take(client, now))).sum()
    }

    #[test]
    fn a_client_that_hammers_takes_nothing_from_others() {
        let begun = Instant::now();
        let mut budgets = Budgets::default();
        assert_eq!(granted(&mut budgets, address("192.0.2.1"), 10_000, begun), CLIENT.burst);
        assert_eq!(granted(&mut budgets, address("192.0.2.2"), 30, begun), 30);
        assert_eq!(granted(&mut budgets, address("::ffff:192.0.2.1"), 30, begun), 0, "the same client");
    }

    #[test]
    fn each_session_has_a_budget_of_its_own() {
        let begun = Instant::now();
        let mut budgets = Budgets::default();
        let one = |budgets: &mut Budgets, session: &str| -> u32 {
            (0..100).map(|_| u32::from(budgets.take_session(session, begun))).sum()
        };
        assert_eq!([one(&mut budgets, "a"), one(&mut budgets, "a"), one(&mut budgets, "b")], [CLIENT.burst, 0, CLIENT.burst]);
        assert_eq!(granted(&mut budgets, address("192.0.2.1"), 100, begun), CLIENT.burst, "those without a session");
    }

    #[test]
    fn a_budget_fills_again_and_no_further() {
        let begun = Instant::now();
        let (mut budgets, client) = (Budgets::default(), address("192.0.2.1"));
        assert_eq!(granted(&mut budgets, client, 100, begun), 60);
        assert_eq!(granted(&mut budgets, client, 100, begun + Duration::from_millis(250)), 2);
        assert_eq!(granted(&mut budgets, client, 100, begun + Duration::from_millis(300)), 1, "the rest of a tenth is kept");
        assert_eq!(granted(&mut budgets, client, 100, begun + Duration::from_secs(2)), 17);
        assert_eq!(granted(&mut budgets, client, 100, begun + Duration::from_hours(1)), 60);
        assert_eq!(granted(&mut budgets, client, 100, begun), 0, "a clock that goes back brings nothing");
    }

    #[test]
    fn all_together_are_bounded_and_so_is_what_is_remembered() {
        let begun = Instant::now();
        let mut budgets = Budgets::default();
        let clients = (0..20_000_u32).map(|number| IpAddr::from(std::net::Ipv4Addr::from(number)));
        let answered: u32 = clients.map(|client| granted(&mut budgets, client, 2, begun)).sum();
        assert_eq!(answered, ALL.burst);
        assert!(budgets.clients.len() <= MAX_CLIENTS, "{}", budgets.clients.len());
        let later = begun + Duration::from_mins(1);
        assert_eq!(granted(&mut budgets, address("192.0.2.1"), 100, later), 60, "a new caller");
    }

    #[test]
    fn a_hundred_clients_that_hammer_lock_nobody_out() {
        let begun = Instant::now();
        let mut budgets = Budgets::default();
        let attackers: Vec<IpAddr> = (1..=100).map(|host| address(&format!("198.51.100.{host}"))).collect();
        let person = address("192.0.2.1");
        for second in 0..60 {
            for twentieth in 0..20 {
                let now = begun + Duration::from_millis(second * 1000 + twentieth * 50);
                for attacker in &attackers {
                    budgets.take(*attacker, now);
                }
            }
            assert!(budgets.take(person, begun + Duration::from_millis(second * 1000 + 999)), "in second {second}");
        }
    }

    #[test]
    fn one_customer_of_an_ipv6_network_is_one_client() {
        let begun = Instant::now();
        let mut budgets = Budgets::default();
        let of_one: u32 =
            (0..100).map(|host| granted(&mut budgets, address(&format!("2001:db8:0:1::{host:x}")), 1, begun)).sum();
        assert_eq!(of_one, CLIENT.burst);
        assert_eq!(granted(&mut budgets, address("2001:db8:0:2::1"), 1, begun), 1);
    }
}
