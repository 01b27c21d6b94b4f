//! An HTTPS server that answers every request with the same bytes, so cheap that its client is what a benchmark measures.
//!
//! Usage: `replay CERT.pem KEY.pem PUBLIC_KEY.pem PACKAGE.json`. A GET is answered with the public key, a POST with the
//! package, which was sealed beforehand for the one key pair that the clients use. Prints the port it listens on, and
//! serves each connection in a thread until its standard input ends. After a line with two numbers there, none of the next
//! so many POSTs is answered before all of them have arrived, or so many seconds have passed: each is on a connection of
//! its own.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs, thread};

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Answers {
    public_key: Vec<u8>,
    package: Vec<u8>,
    gate: Gate,
}

/// How many requests are waited for before any of them is answered.
#[derive(Default)]
struct Gate {
    awaited: Mutex<(usize, Duration)>,
    open: Condvar,
}

impl Gate {
    fn close_for(&self, requests: usize, seconds: u64) {
        *self.awaited.lock().unwrap_or_else(PoisonError::into_inner) =
            (requests, Duration::from_secs(seconds));
    }

    fn arrive(&self) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        awaited.0 = awaited.0.saturating_sub(1);
        let at_most = awaited.1;
        let waited = self
            .open
            .wait_timeout_while(awaited, at_most, |awaited| awaited.0 > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.0 = 0;
        self.open.notify_all();
    }
}

fn main() -> Result<(), Failure> {
    let [certificate, key, public_key, package] = arguments()?;
    let config = Arc::new(tls(&certificate, &key)?);
    let answers = Arc::new(Answers {
        public_key: response("text/plain", &fs::read(public_key)?),
        package: response("application/json", &fs::read(package)?),
        gate: Gate::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let shared = answers.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, answers) = (config.clone(), shared.clone());
            // A connection that breaks concerns its client alone.
            thread::spawn(move || serve(stream, config, &answers).ok());
        }
    });
    for line in io::stdin().lines() {
        let line = line?;
        let (requests, seconds) = line.split_once(' ').ok_or("two numbers are expected")?;
        answers.gate.close_for(requests.parse()?, seconds.parse()?);
        println!("closed");
    }
    Ok(())
}

fn arguments() -> Result<[String; 4], Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let wanted = "usage: replay CERT.pem KEY.pem PUBLIC_KEY.pem PACKAGE.json";
    arguments.try_into().map_err(|_| wanted.into())
}

fn tls(certificate: &str, key: &str) -> Result<ServerConfig, Failure> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    Ok(ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?)
}

fn response(content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, answers: &Answers) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
    let mut received = Vec::with_capacity(1 << 16);
    let mut piece = vec![0; 1 << 16];
    loop {
        while let Some(length) = request_length(&received)? {
            let post = received.starts_with(b"POST");
            received.drain(..length);
            if post {
                answers.gate.arrive();
            }
            stream.write_all(if post {
                &answers.package
            } else {
                &answers.public_key
            })?;
        }
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&piece[..count]);
    }
}

/// Bytes of the request that has arrived whole, if one has.
fn request_length(received: &[u8]) -> Result<Option<usize>, Failure> {
    let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = str::from_utf8(&received[..end])?;
    let body: usize = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse())?;
    let length = end + 4 + body;
    Ok((received.len() >= length).then_some(length))
}
