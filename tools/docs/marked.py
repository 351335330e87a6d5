"""Replaces the part of a page between `<!-- NAME: begin … -->` and `<!-- NAME: end -->`, which a script owns."""
import re
from pathlib import Path

VALIDITY = Path(__file__).resolve().parents[2] / 'docs' / 'validity.md'


def write_part(page, name, text):
    """Writes `text` between the markers of `name`; both must be in the page once."""
    content = Path(page).read_text()
    marked = re.compile(rf'(<!-- {re.escape(name)}: begin[^>]*-->\n).*?(<!-- {re.escape(name)}: end -->)', re.S)
    found = len(marked.findall(content))
    if found != 1:
        raise SystemExit(f'{page}: expected the markers of "{name}" once, found them {found} times')
    Path(page).write_text(marked.sub(lambda m: f'{m[1]}\n{text.strip()}\n\n{m[2]}', content))


def table(rows):
    """Rows of cells as a table; the first row is the header."""
    line = lambda cells: '| ' + ' | '.join(map(str, cells)) + ' |'
    return '\n'.join([line(rows[0]), '|' + '---|' * len(rows[0]), *map(line, rows[1:])])
