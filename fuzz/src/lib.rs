//! What must hold for any input. The fuzz targets and the test of the seeds ask the same.

mod checks;

pub use checks::{envelope, expression, inside, playbook, sealed, template};
