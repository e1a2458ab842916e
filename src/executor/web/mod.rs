//! Web applications: a browser logs in and runs a web template. What to do in a page is decided in `dialogue::web`; here it is
//! carried to the browser, which runs apart from the daemon (see [`crate::browser`]).
//!
//! No secret is entered before the device's certificate was found good, nor into a page of a host that the config does not have. The
//! lockout budget pays for a login before its first secret leaves.

mod change;
mod errand;
mod handover;
mod live;
mod person;
mod prove;
mod session;

pub use handover::{Handed, SessionRequest};
pub use live::{Live, LiveKind, LiveViews, Passed};

use super::contract::{ChangeRequest, ChangeResult, Executor, Proof, ProofRequest};
use super::guards::Guards;
use super::observer::Observer;
use crate::clock::Waiting;

/// The executor of web applications.
pub struct Web {
    guards: Guards,
    live: LiveViews,
    drafts: person::Drafts,
}

impl Web {
    /// One that keeps to these guards.
    #[must_use]
    pub fn new(guards: Guards) -> Self {
        Self { guards, live: LiveViews::default(), drafts: person::Drafts::default() }
    }

    /// A change that a person made is proved: the draft of its template is needed no more.
    pub fn forget_draft(&self, account: &crate::model::AccountName) {
        self.drafts.forget(account);
    }

    /// The browsers that people may look into.
    #[must_use]
    pub fn live(&self) -> &LiveViews {
        &self.live
    }
}

impl Executor for Web {
    fn change<'a>(&'a self, request: ChangeRequest<'a>, observer: &'a dyn Observer) -> Waiting<'a, ChangeResult> {
        Box::pin(self.make_change(request, observer))
    }

    fn prove<'a>(&'a self, request: ProofRequest<'a>, observer: &'a dyn Observer) -> Waiting<'a, Proof> {
        Box::pin(self.try_password(request, observer))
    }
}
