//! A resource server: hands out a few files to whoever shows a token that the authorization server
//! calls active.
//!
//! In: files by path. Out: HTTP on loopback, and every token that was taken, in the order they came.
//! **Invariant:** whether a token is good is asked of the authorization server each time (RFC 7662); it
//! never knows what the Secret holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::world::World;

/// How a token was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer`.
    Bearer,
    /// As the password of this user (`Authorization: Basic`).
    Basic(String),
}

/// A request with a token that the authorization server calls active.
#[derive(Debug, Clone)]
pub struct Taken {
    pub path: String,
    pub scheme: Scheme,
    pub token: String,
}

/// A running server; dropping it ends it.
pub struct ResourceServer {
    address: String,
    shelf: Arc<Shelf>,
    _running: oneshot::Sender<()>,
}

struct Shelf {
    world: Arc<World>,
    client_id: String,
    files: Mutex<BTreeMap<String, (String, Vec<u8>)>>,
    taken: Mutex<Vec<Taken>>,
    refused: Mutex<Vec<String>>,
}

impl ResourceServer {
    /// Takes tokens of one client.
    pub async fn start(world: &Arc<World>, client_id: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("failed to listen")?;
        let address = listener.local_addr()?.to_string();
        let shelf = Arc::new(Shelf {
            world: Arc::clone(world),
            client_id: client_id.to_owned(),
            files: Mutex::default(),
            taken: Mutex::default(),
            refused: Mutex::default(),
        });
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&shelf));
        let (running, dropped) = oneshot::channel::<()>();
        let serve = axum::serve(listener, routes).with_graceful_shutdown(async {
            let _ = dropped.await;
        });
        tokio::spawn(serve.into_future());
        Ok(Self { address, shelf, _running: running })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where a path is found.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Hands this out from now on.
    pub fn put(&self, path: &str, content_type: &str, content: impl Into<Vec<u8>>) {
        let file = (content_type.to_owned(), content.into());
        locked(&self.shelf.files).insert(path.to_owned(), file);
    }

    /// Hands out every file below a directory.
    pub fn put_all(&self, path: &str, directory: &Path) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let below = format!("{path}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.put_all(&below, &entry.path())?;
            } else {
                self.put(&below, "application/octet-stream", std::fs::read(entry.path())?);
            }
        }
        Ok(())
    }

    /// Every request that was answered with a file, or that there is none, since the last call.
    pub fn take(&self) -> Vec<Taken> {
        std::mem::take(&mut locked(&self.shelf.taken))
    }

    /// The same, and they stay for the next call.
    pub fn taken(&self) -> Vec<Taken> {
        locked(&self.shelf.taken).clone()
    }

    /// Fails unless all requests since the last call showed this token in this way, and there were some;
    /// says which paths were asked for.
    pub fn expect(&self, scheme: &Scheme, token: &str) -> anyhow::Result<Vec<String>> {
        let requests = self.take();
        ensure!(!requests.is_empty(), "no request with a token; refused: {:?}", self.refused());
        for request in &requests {
            let Taken { path, scheme: shown, .. } = request;
            ensure!(request.token == token, "another token was shown for {path}");
            ensure!(shown == scheme, "{path} was asked for with {shown:?}");
        }
        Ok(requests.into_iter().map(|request| request.path).collect())
    }

    /// What was answered 401 although something was shown.
    pub fn refused(&self) -> Vec<String> {
        locked(&self.shelf.refused).clone()
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the header shows: RFC 6750 §2.1 or RFC 7617.
fn shown(headers: &HeaderMap) -> Option<Result<(Scheme, String), String>> {
    let header = headers.get(AUTHORIZATION)?;
    let parse = || {
        let text = header.to_str().ok()?;
        if let Some(token) = text.strip_prefix("Bearer ") {
            return Some((Scheme::Bearer, token.to_owned()));
        }
        let pair = STANDARD.decode(text.strip_prefix("Basic ")?).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        let (user, token) = pair.split_once(':')?;
        Some((Scheme::Basic(user.to_owned()), token.to_owned()))
    };
    Some(parse().ok_or_else(|| format!("{header:?}")))
}

async fn answer(State(shelf): State<Arc<Shelf>>, request: Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    let challenge = [(WWW_AUTHENTICATE, r#"Basic realm="tokens""#)];
    let refuse = |why: String| {
        locked(&shelf.refused).push(format!("{path}: {why}"));
        (StatusCode::UNAUTHORIZED, challenge.clone()).into_response()
    };
    let (scheme, token) = match shown(request.headers()) {
        None => return (StatusCode::UNAUTHORIZED, challenge).into_response(),
        Some(Err(why)) => return refuse(why),
        Some(Ok(shown)) => shown,
    };
    match shelf.world.server.introspect(&token).await {
        Err(error) => return refuse(format!("{error:#}")),
        Ok(told) if !told.active => return refuse("not active".to_owned()),
        Ok(told) if told.client_id.as_deref() != Some(&shelf.client_id) => {
            return refuse(format!("of {:?}", told.client_id));
        }
        Ok(_) => {}
    }
    locked(&shelf.taken).push(Taken { path: path.clone(), scheme, token });
    match locked(&shelf.files).get(&path) {
        Some((content_type, content)) => {
            ([(CONTENT_TYPE, content_type.clone())], content.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
