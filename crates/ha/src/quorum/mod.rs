//! Quorum commit: the way from the state that is to the state that is wanted, in steps of which
//! none ever lets an acknowledged commit be on no electable set of nodes (HA contract 19).
//!
//! Two things change in turns. `synchronous_standby_names` (`ANY n (names)`) says how many
//! standbys confirm a commit before it is acknowledged; the `sync` key says how many votes of
//! which nodes a candidate needs before it may lead. A commit is safe as long as every set of
//! confirming nodes meets every set of voting nodes; [`State::check`] is that rule, and it is
//! checked after every single step.
//!
//! Everything here is pure: [`resolve`] takes a [`State`] and gives the list of [`Emission`]s,
//! and the rules of the synchronous mode carry them out in order, stopping where one fails. What
//! the sets alone cannot know is how far each standby has really got; [`Key::is_backed`] looks
//! at that before a key is written.
//!
//! ```
//! use patroni_ha::quorum::{Emission, State, resolve};
//! use patroni_core::MemberName;
//!
//! let names = |text: &str| text.split(' ').map(MemberName::new).collect();
//! let one = State {
//!     numsync: 1,
//!     sync: names("b"),
//!     voters: names("b"),
//!     confirmed: 1,
//!     active: names("b c"),
//!     wanted: 1,
//!     ..State::of_leader(MemberName::new("a"))
//! };
//! // A second standby came: the votes first become more, then commits may choose.
//! let steps = resolve(one).unwrap().emissions;
//! assert_eq!(
//!     steps,
//!     [
//!         Emission::Quorum { leader: MemberName::new("a"), quorum: 1, voters: names("b c") },
//!         Emission::Sync { leader: MemberName::new("a"), numsync: 1, sync: names("b c") },
//!     ]
//! );
//! ```

mod emission;
mod key;
mod resolve;
mod state;

pub use emission::Emission;
pub use key::Key;
pub use resolve::{Resolution, reset, resolve};
pub use state::{Names, State, Violation};
