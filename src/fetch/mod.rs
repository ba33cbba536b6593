//! Plan + cursor → requests → pages → records.
//!
//! [`request`] builds requests, [`answer`] interprets responses, [`split`](mod@split) finds the records in them, [`pagination`] says where
//! the next page is, by what `evidence` reads in a response, [`delta`] where the next poll continues, and [`listing`] is the shell that
//! does it all over the wire.

pub mod answer;
pub mod asker;
pub mod confirm;
pub mod contact;
pub mod copy;
pub mod delta;
pub mod detail;
pub mod detection;
mod error_shape;
mod evidence;
pub mod link_header;
pub mod listing;
mod looks;
pub mod lost_list;
mod members;
mod names;
mod one_record;
pub mod page;
pub mod pagination;
mod partial_shape;
pub mod place;
mod position;
pub mod probe;
pub mod request;
mod restraint;
pub(crate) mod result_cap;
pub mod split;
pub mod transcript;
mod unreadable;
pub mod validators;

pub use asker::Asker;
pub(crate) use evidence::is_about_pages;
pub use listing::{PageReader, Step};
pub use page::Page;
pub(crate) use position::is_end;
pub use split::{Kind, SplitError, split};
pub use validators::Validators;
