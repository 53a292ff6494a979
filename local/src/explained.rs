//! Gives the refusals of hyper the form of all errors.
//!
//! hyper itself answers a request whose head it cannot read, with an empty body. A stream with this wrapper sends an
//! error with a message and a request identifier instead.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use api::Failure;
use api::answer::REQUEST_ID;
use api::endpoint::unrouted;
use axum::body::Bytes;
use axum::http::Request;
use lambda_http::Body as LambdaBody;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that explains the refusals of hyper.
pub(crate) struct Explained<S> {
    stream: S,
    /// The part of an explanation that is not sent yet.
    unsent: Bytes,
}

impl<S> Explained<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, unsent: Bytes::new() }
    }
}

impl<S: AsyncWrite + Unpin> Explained<S> {
    fn poll_unsent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            drop(self.unsent.split_to(sent));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Explained<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Explained<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_unsent(context))?;
        match explanation(bytes) {
            Some(explanation) => {
                self.unsent = explanation;
                Poll::Ready(Ok(bytes.len()))
            }
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_unsent(context))?;
        let first = slices.iter().find(|slice| !slice.is_empty());
        match first.and_then(|first| Some((first, explanation(first)?))) {
            Some((first, explanation)) => {
                self.unsent = explanation;
                Poll::Ready(Ok(first.len()))
            }
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Returns the answer that replaces a refusal of hyper; none if `bytes` are something else. A refusal of hyper has neither
/// a body nor a request identifier. An answer of the router has both.
fn explanation(bytes: &[u8]) -> Option<Bytes> {
    let failure = match bytes.get(..b"HTTP/1.1 400".len())? {
        b"HTTP/1.1 400" => Failure::UnreadableHead,
        b"HTTP/1.1 414" | b"HTTP/1.1 431" => Failure::HeadTooLong,
        _ => return None,
    };
    let head = std::str::from_utf8(bytes.strip_suffix(b"\r\n\r\n")?).ok()?;
    let lines = || head.lines().filter_map(|line| line.split_once(": "));
    let is_empty = lines().any(|(name, value)| name.eq_ignore_ascii_case("content-length") && value == "0");
    if !is_empty || lines().any(|(name, _)| name.eq_ignore_ascii_case(REQUEST_ID.as_str())) {
        return None;
    }
    let (parts, body) = unrouted(&Request::new(LambdaBody::Empty), failure).into_parts();
    let mut answer = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        answer.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    answer.extend(format!("connection: close\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes());
    answer.extend_from_slice(&body);
    Some(answer.into())
}
