//! Single values of the configuration.

use broker_config::Config;
use broker_ipc::RpcError;
use broker_ipc::types::ConfigEntry;

/// The values at a path.
///
/// # Errors
/// If it is not a path, or if nothing is there.
pub(super) fn values(config: &Config, path: &str) -> Result<Vec<ConfigEntry>, RpcError> {
    let values = config.values(path).map_err(RpcError::invalid_params)?;
    if values.is_empty() {
        let message = format!(
            "the configuration has no value at \"{path}\": ask for an outer element, such as profiles, to see the paths in it"
        );
        return Err(RpcError::not_found(message));
    }
    let values = values.into_iter();
    Ok(values
        .map(|(path, value)| ConfigEntry { path, value })
        .collect())
}
