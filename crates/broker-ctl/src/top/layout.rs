//! How the panes share the screen.

use ratatui::layout::Rect;

/// From this width on, there can be two columns of panes. A single one has more room for long texts.
const TWO_COLUMNS: u16 = 150;

/// The width of the left one, in hundredths.
const LEFT: u16 = 60;

/// The height that a pane needs, its title and headings included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    /// With less it is of no use.
    pub(super) least: u16,
    /// With this it shows everything.
    pub(super) wanted: u16,
}

/// Where the panes are, in their order. If a column is too low for what they want, the last `right` ones are in a second one
/// on a wide screen. `None`: there is only room for one.
pub(super) fn places(area: Rect, wishes: &[Wish], right: usize) -> Option<Vec<Rect>> {
    let wanted = wishes
        .iter()
        .map(|wish| u32::from(wish.wanted))
        .sum::<u32>();
    if area.width < TWO_COLUMNS || wanted <= area.height.into() {
        return column(area, wishes);
    }
    let (first, second) = wishes.split_at_checked(wishes.len().checked_sub(right)?)?;
    let width = area.width / 100 * LEFT + area.width % 100 * LEFT / 100;
    let left = Rect { width, ..area };
    let right = Rect {
        x: area.x + width + 1,
        width: area.width - width - 1,
        ..area
    };
    let mut places = column(left, first)?;
    places.extend(column(right, second)?);
    Some(places)
}

/// Panes below each other.
fn column(area: Rect, wishes: &[Wish]) -> Option<Vec<Rect>> {
    let mut y = area.y;
    let place = |height: u16| {
        let place = Rect { y, height, ..area };
        y += height;
        place
    };
    Some(share(area.height, wishes)?.into_iter().map(place).collect())
}

/// The height of each pane: first what each needs, then in turn what each wants. The last one takes what nobody wants.
fn share(height: u16, wishes: &[Wish]) -> Option<Vec<u16>> {
    let mut heights: Vec<u16> = wishes.iter().map(|wish| wish.least).collect();
    let mut left = height.checked_sub(heights.iter().sum())?;
    loop {
        let before = left;
        for (height, wish) in heights.iter_mut().zip(wishes) {
            if left > 0 && *height < wish.wanted {
                *height += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    if let Some(last) = heights.last_mut() {
        *last += left;
    }
    Some(heights)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(least: u16, wanted: u16) -> Wish {
        Wish { least, wanted }
    }

    #[test]
    fn who_wants_more_gets_what_others_leave() {
        let wishes = [wish(3, 3), wish(3, 9), wish(3, 4)];
        assert_eq!(share(9, &wishes), Some(vec![3, 3, 3]));
        assert_eq!(share(11, &wishes), Some(vec![3, 4, 4]));
        assert_eq!(share(14, &wishes), Some(vec![3, 7, 4]));
        assert_eq!(share(20, &wishes), Some(vec![3, 9, 8]));
        assert_eq!(share(8, &wishes), None);
    }

    #[test]
    fn a_wide_screen_has_two_columns_if_one_is_too_low() {
        let area = Rect::new(0, 1, 200, 10);
        let wishes = [wish(2, 2), wish(2, 2), wish(2, 6)];
        let lower = Rect { height: 9, ..area };
        assert_eq!(
            places(lower, &wishes, 1).unwrap()[1],
            Rect::new(0, 3, 120, 7)
        );
        let places = places(area, &wishes, 1).unwrap();
        assert_eq!(
            places,
            [
                Rect::new(0, 1, 200, 2),
                Rect::new(0, 3, 200, 2),
                Rect::new(0, 5, 200, 6),
            ]
        );
    }
}
