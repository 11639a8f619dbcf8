//! The server is killed with SIGKILL at every script of the commit path and at every call to WeCom: nothing may be lost
//! and nothing doubled.
//!
//! The kills need nothing in the product. Scripts are seen by a proxy between the server and its Redis; calls are seen
//! by the sandbox, which accepts one and then keeps its answer back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod cluster;
mod company;
mod fleet;
mod processes;
mod protocol;
mod proxy;
mod redis_trouble;
mod scripts;
mod sentinel;
