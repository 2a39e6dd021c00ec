//! Where a repository is, from its address.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
#[cfg(feature = "cloud")]
use object_store::prefix::PrefixStore;
use url::Url;

use super::remote::{Attempts, Remote};
use crate::error::{Error, Result, code};
use crate::sys::file::RealDisk;
use crate::sys::{Disk as _, Entry, sync_parent};

/// Whether a directory is made where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    Refuse,
}

/// What an address means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Directory(PathBuf),
    Memory,
    #[cfg(feature = "cloud")]
    Cloud(Url),
}

/// What holds the objects at an address.
pub(super) fn connect(address: &str, missing: Missing) -> Result<Remote> {
    match parse(address)? {
        Address::Directory(path) => directory(&path, missing),
        Address::Memory => Remote::new(Arc::new(InMemory::new()), Attempts::OF_A_SERVER, None),
        #[cfg(feature = "cloud")]
        Address::Cloud(url) => {
            let store = cloud::connect(&url)
                .map_err(|error| invalid(address, "it can't be used").with_source(error))?;
            let prefix = object_store::path::Path::from_url_path(url.path())
                .map_err(|error| invalid(address, "its path is malformed").with_source(error))?;
            let store = Arc::new(PrefixStore::new(store, prefix));
            Remote::new(store, Attempts::OF_A_SERVER, None)
        }
    }
}

fn parse(address: &str) -> Result<Address> {
    if !address.contains("://") {
        return Ok(Address::Directory(PathBuf::from(address)));
    }
    let malformed = |_| invalid(address, "it is no URL");
    let url = Url::parse(address).map_err(malformed)?;
    if !url.username().is_empty() || url.password().is_some() {
        // The address itself would tell it to whoever reads the message.
        let message = "an address holds no secrets; they are taken from the environment";
        return Err(Error::new(&code::INVALID_OPTION, message));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid(address, "it must not have a query"));
    }
    match url.scheme() {
        "file" => {
            let path = url.to_file_path();
            path.map(Address::Directory).map_err(|()| invalid(address, "it is no local path"))
        }
        "memory" => Ok(Address::Memory),
        #[cfg(feature = "cloud")]
        "s3" | "gs" | "az" if url.host_str().is_some_and(|host| !host.is_empty()) => {
            Ok(Address::Cloud(url))
        }
        #[cfg(not(feature = "cloud"))]
        "s3" | "gs" | "az" => Err(invalid(address, "this build has no object stores")),
        _ => Err(invalid(address, "it is none of file:///…, s3://…, gs://… and az://…")),
    }
}

fn directory(path: &Path, missing: Missing) -> Result<Remote> {
    match (RealDisk.entry(path)?, missing) {
        (Entry::Directory, Missing::Refuse) => {}
        // A run that was killed may have made it.
        (Entry::Directory, Missing::Create) => sync_parent(&RealDisk, path)?,
        (Entry::Nothing, Missing::Create) => {
            RealDisk.create_dir(path)?;
            sync_parent(&RealDisk, path)?;
        }
        (Entry::Nothing, Missing::Refuse) => {
            let message = "no backup repository at this place";
            return Err(Error::new(&code::REPOSITORY_NOT_FOUND, message).at_path(path));
        }
        (Entry::File, _) => {
            let message = "a repository is a directory, and this is a file";
            return Err(Error::new(&code::INVALID_OPTION, message).at_path(path));
        }
    }
    // Without this nothing is synced. With it file and directories are, but for deletions: an
    // object that is there again after a power cut is deleted once more.
    let store = LocalFileSystem::new_with_prefix(path)
        .map_err(|error| {
            Error::new(&code::IO, "could not use the directory").at_path(path).with_source(error)
        })?
        .with_fsync(true);
    Remote::new(Arc::new(store), Attempts::OF_A_DISK, Some(path.to_path_buf()))
}

fn invalid(address: &str, what: &str) -> Error {
    Error::new(&code::INVALID_OPTION, format!("the address {address} is not understood: {what}"))
}

#[cfg(feature = "cloud")]
mod cloud {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
    use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
    use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
    use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
    use url::Url;

    /// As long as one request may take: the largest object at two Mbit/s.
    const REQUEST: &str = "300 seconds";

    /// The bucket; credentials and all else from the environment, as `object_store` reads it.
    pub(super) fn connect(url: &Url) -> object_store::Result<Box<dyn ObjectStore>> {
        // An application may have chosen another already, which then serves here too.
        drop(rustls::crypto::ring::default_provider().install_default());
        // What comes behind the bucket is left to `PrefixStore`.
        let bucket = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        match url.scheme() {
            "gs" => google(bucket),
            "az" => azure(bucket),
            _ => amazon(bucket),
        }
    }

    fn amazon(bucket: String) -> object_store::Result<Box<dyn ObjectStore>> {
        let mut builder = AmazonS3Builder::from_env().with_url(bucket).with_retry(once());
        if is_unset("AWS_TIMEOUT") {
            let key = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
            builder = builder.with_config(key, REQUEST);
        }
        Ok(Box::new(builder.build()?))
    }

    fn google(bucket: String) -> object_store::Result<Box<dyn ObjectStore>> {
        let mut builder = GoogleCloudStorageBuilder::from_env().with_url(bucket).with_retry(once());
        if is_unset("GOOGLE_TIMEOUT") {
            let key = GoogleConfigKey::Client(ClientConfigKey::Timeout);
            builder = builder.with_config(key, REQUEST);
        }
        Ok(Box::new(builder.build()?))
    }

    fn azure(bucket: String) -> object_store::Result<Box<dyn ObjectStore>> {
        let mut builder = MicrosoftAzureBuilder::from_env().with_url(bucket).with_retry(once());
        if is_unset("AZURE_TIMEOUT") {
            let key = AzureConfigKey::Client(ClientConfigKey::Timeout);
            builder = builder.with_config(key, REQUEST);
        }
        Ok(Box::new(builder.build()?))
    }

    fn is_unset(variable: &str) -> bool {
        std::env::var_os(variable).is_none()
    }

    /// Requests are repeated in one place, which is not here.
    fn once() -> RetryConfig {
        RetryConfig { max_retries: 0, ..RetryConfig::default() }
    }
}
