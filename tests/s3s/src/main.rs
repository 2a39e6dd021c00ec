//! Runs the command that its arguments are, beside an S3 server with a bucket, of which the
//! command's environment tells; ends as the command does.

use std::error::Error;
use std::process::{Command, ExitCode};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

const KEY: &str = "key-of-a-test";
const SECRET: &str = "secret-of-a-test";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().ok_or("which command?")?;
    let directory = tempfile::tempdir()?;
    std::fs::create_dir(directory.path().join("backups"))?;
    let files = FileSystem::new(directory.path()).map_err(|error| format!("{error:?}"))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));

    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    runtime.spawn(serve(listener, service.build()));
    let status = Command::new(program)
        .args(arguments)
        .env("AFTERIMAGE_TEST_REPOSITORY", "s3://backups")
        .env("AWS_ENDPOINT", format!("http://{address}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

async fn serve(listener: TcpListener, service: S3Service) {
    while let Ok((socket, _)) = listener.accept().await {
        let service = service.clone();
        tokio::spawn(async move {
            let server = Builder::new(TokioExecutor::new());
            // A connection that breaks off is the client's affair.
            drop(server.serve_connection(TokioIo::new(socket), service).await);
        });
    }
}
