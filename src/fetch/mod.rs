//! Plan + cursor → requests → pages → records.

pub mod detection;
pub mod json;
pub mod link_header;
pub mod page;
pub mod pagination;
mod scan;
pub mod split;

pub use page::{Page, Record};
pub use pagination::{Answer, Pager, Position};
pub use scan::{Fault, MAX_DEPTH, ScanError};
pub use split::{Kind, SplitError, split};
