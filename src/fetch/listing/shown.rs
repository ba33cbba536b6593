//! What a listing has shown so far in addition to its pages.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::PageReader;
use crate::detect::sweep::Claim;
use crate::fetch::contact::Contact;
use crate::fetch::copy::Made;
use crate::fetch::lost_list::LostList;
use crate::fetch::pagination;
use crate::fetch::place;
use crate::fetch::validators::Validators;
use crate::plan::{Order, PaginationPlan};

impl PageReader<'_> {
    /// Validators for the next listing, when this one had a single page that carried some.
    pub fn validators(&self) -> Option<Validators> {
        self.fresh.clone()
    }

    /// The provider's clock at the first answer.
    pub fn server_date(&self) -> Option<DateTime<Utc>> {
        self.server_date
    }

    /// From when to when a cache had the first answer, on the provider's clock, if it had it.
    pub fn kept_in_a_cache(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let date = self.server_date.filter(|_| !self.age.is_zero())?;
        Some((date, date.checked_add_signed(TimeDelta::from_std(self.age).ok()?)?))
    }

    /// When the first answer was made, by our clocks.
    pub fn made(&self) -> Option<Made> {
        self.made
    }

    /// The longest wait that a successful response asked for: by a `Backoff` header, or by the last response for a quota that is spent.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The most that its answers have shown.
    pub fn contact(&self) -> Contact {
        self.contact
    }

    /// What detection chose, as it is written in a manifest.
    pub fn detected(&self) -> Option<String> {
        self.pager.detected().map(pagination::manifest_text)
    }

    /// What detection chose.
    pub fn detected_pagination(&self) -> Option<&PaginationPlan> {
        self.pager.detected()
    }

    /// Where the records were found, to be kept for the next listing and shown: a path, or `$` for the response itself. `None` while no
    /// response had a list, or when the path cannot be written.
    pub fn records_path(&self) -> Option<String> {
        self.records_path.as_deref().and_then(place::kept)
    }

    /// Whether answers have another list of objects next to the one that is read.
    pub fn has_other_lists(&self) -> bool {
        self.has_other_lists
    }

    /// Whether the only page of the list is as long as a page may be, and nothing says whether more follow. What a next poll goes on from is not
    /// lost.
    pub fn may_be_cut(&self) -> bool {
        let goes_on =
            self.resource.delta.is_some() || (self.resource.order == Order::Ascending && self.resource.request.uses_since());
        self.pager.may_be_cut() && !goes_on && self.resource.result_cap.is_none()
    }

    /// Where the list may be, which is no longer where the manifest says.
    pub fn lost_list(&self) -> Option<&LostList> {
        self.lost_list.as_deref()
    }

    /// Whether a response had a list, even an empty one, or the manifest says that it means an empty list.
    pub fn has_list(&self) -> bool {
        self.has_list
    }

    /// What the answers say of the list, once this listing has ended.
    pub fn claim(&self) -> Claim {
        let claim = self.pager.claim();
        // A total that all rows make up proves that nothing is left out.
        Claim { more: claim.more || (self.is_partial && !claim.counted), ..claim }
    }

    /// Pages so far.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Bytes of all bodies so far, inflated.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
