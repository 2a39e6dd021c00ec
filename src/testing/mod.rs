//! What the crate's own tests, benches and fuzz targets share. No promise of stability.

pub mod crash;
pub mod fuzz;
pub mod golden;
pub mod parts;
pub mod power;
#[cfg(feature = "backup")]
pub mod repository;
pub mod sweep;
