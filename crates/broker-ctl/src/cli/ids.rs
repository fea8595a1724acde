//! Ids on the command line.

/// Reads an id of something that this command lists.
pub(super) fn id(list: &'static str) -> impl Fn(&str) -> Result<u64, String> + Clone {
    move |text| {
        let wrong = |_| format!("ids are numbers: {list} shows them");
        text.parse().map_err(wrong)
    }
}
