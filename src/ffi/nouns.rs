//! What can be behind a handle: each C type, its kind, and the object of the core that it stands for.

use super::batch::{Lent, hysock_batch};
use super::call::hysock_call;
use super::client::hysock_client;
use super::client_config::hysock_client_config;
use super::config::{Config, ConfigNoun};
use super::exchange::hysock_exchange;
use super::handle::*;
use super::listener_config::hysock_listener_config;
use super::producer::hysock_producer;
use super::producer_config::hysock_producer_config;
use super::queue::hysock_queue;
use super::receiver::hysock_receiver;
use super::receiver_config::hysock_receiver_config;
use super::runtime::{hysock_runtime, hysock_runtime_config};
use super::server::hysock_server;
use super::server_config::hysock_server_config;
use super::timer::hysock_timer;
use crate::http::{client, server};
use crate::message::{producer, receiver};
use crate::runtime;
use crate::socket::listener::ListenerOptions;
use std::sync::Arc;

/// Something of the core that C can hold.
pub trait Handle: Send + Sync + Sized + 'static {
    fn into_object(this: Arc<Self>) -> Object;
    fn from_object(object: &Object) -> Option<&Arc<Self>>;
}

/// The C type of a handle, and what is behind it: a wrong pair does not compile.
pub trait Noun {
    type Object: Handle;
    const KIND: i32;
}

macro_rules! nouns {
    ($($name:ident: $c:ident, $core:ty, $kind:ident;)*) => {
        /// What a slot holds.
        pub enum Object { $($name(Arc<$core>),)* }

        $(impl Handle for $core {
            fn into_object(this: Arc<Self>) -> Object {
                Object::$name(this)
            }
            fn from_object(object: &Object) -> Option<&Arc<Self>> {
                match object {
                    Object::$name(object) => Some(object),
                    _ => None,
                }
            }
        }
        impl Noun for $c {
            type Object = $core;
            const KIND: i32 = $kind;
        })*

        pub fn kind_name(kind: i32) -> Option<&'static str> {
            match kind {
                $($kind => Some(stringify!($c)),)*
                _ => None,
            }
        }
    };
}

nouns! {
    RuntimeConfig: hysock_runtime_config, Config<runtime::Config>, HYSOCK_KIND_RUNTIME_CONFIG;
    Runtime: hysock_runtime, runtime::Runtime, HYSOCK_KIND_RUNTIME;
    Queue: hysock_queue, runtime::Queue, HYSOCK_KIND_QUEUE;
    ListenerConfig: hysock_listener_config, Config<ListenerOptions>, HYSOCK_KIND_LISTENER_CONFIG;
    ServerConfig: hysock_server_config, Config<server::Config>, HYSOCK_KIND_SERVER_CONFIG;
    Server: hysock_server, server::Server, HYSOCK_KIND_SERVER;
    Exchange: hysock_exchange, server::Exchange, HYSOCK_KIND_EXCHANGE;
    ClientConfig: hysock_client_config, Config<client::Config>, HYSOCK_KIND_CLIENT_CONFIG;
    Client: hysock_client, client::Client, HYSOCK_KIND_CLIENT;
    Call: hysock_call, client::Call, HYSOCK_KIND_CALL;
    Timer: hysock_timer, runtime::Timer, HYSOCK_KIND_TIMER;
    ReceiverConfig: hysock_receiver_config, Config<receiver::Config>, HYSOCK_KIND_RECEIVER_CONFIG;
    Receiver: hysock_receiver, receiver::Receiver, HYSOCK_KIND_RECEIVER;
    Batch: hysock_batch, Lent, HYSOCK_KIND_BATCH;
    ProducerConfig: hysock_producer_config, Config<producer::Config>, HYSOCK_KIND_PRODUCER_CONFIG;
    Producer: hysock_producer, producer::Producer, HYSOCK_KIND_PRODUCER;
}

impl ConfigNoun for hysock_runtime_config {
    type Value = runtime::Config;
}
impl ConfigNoun for hysock_listener_config {
    type Value = ListenerOptions;
}
impl ConfigNoun for hysock_server_config {
    type Value = server::Config;
}
impl ConfigNoun for hysock_client_config {
    type Value = client::Config;
}
impl ConfigNoun for hysock_receiver_config {
    type Value = receiver::Config;
}
impl ConfigNoun for hysock_producer_config {
    type Value = producer::Config;
}
