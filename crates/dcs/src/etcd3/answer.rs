//! What all answers of the servers have in common.

use etcd_client::{
    DeleteResponse, GetResponse, LeaseGrantResponse, LeaseKeepAliveResponse, MemberListResponse,
    PutResponse, ResponseHeader, TxnResponse, WatchResponse,
};

/// An answer that tells by whom and when it was given.
pub(super) trait Answer {
    /// The common header, which every server sends.
    fn header(&self) -> Option<&ResponseHeader>;
}

macro_rules! answers {
    ($($name:ty),*) => {
        $(impl Answer for $name {
            fn header(&self) -> Option<&ResponseHeader> {
                self.header()
            }
        })*
    };
}

answers!(
    DeleteResponse,
    GetResponse,
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    MemberListResponse,
    PutResponse,
    TxnResponse,
    WatchResponse
);
