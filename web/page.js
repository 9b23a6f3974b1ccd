// The report page: tables that sort, charts that draw themselves, and everything open in print. Nothing is fetched.
'use strict';
(() => {
  // --- tables: a click, or Enter on a column's name, sorts by it; once more turns it round. What is not available stays last.
  const value = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    const text = cell.textContent.trim();
    return text === '' || text === '-' ? null : text;
  };
  const compare = (a, b) =>
    typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), undefined, {numeric: true});
  const sort = (table, column) => {
    const head = table.tHead.rows[0].cells[column];
    const way = head.getAttribute('aria-sort') === 'ascending' ? 'descending' : 'ascending';
    for (const cell of table.tHead.rows[0].cells) cell.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', way);
    const sign = way === 'ascending' ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll('table.sortable')) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = head.textContent;
      button.title = 'sort by this column';
      button.addEventListener('click', () => sort(table, column));
      head.replaceChildren(button);
    });
  }

  // --- charts: the program wrote what they are; `ast` and the interpreter spare them eval, which the page's policy forbids.
  const draw = async (figure) => {
    const place = figure.querySelector('.plot');
    try {
      const specification = JSON.parse(figure.querySelector('script').textContent);
      await vegaEmbed(place, specification, {
        ast: true, expr: window.expressionInterpreter, renderer: 'svg', actions: false, tooltip: {theme: 'custom'}});
      figure.dataset.drawn = 'yes';
    } catch (error) {
      place.textContent = 'This chart could not be drawn: ' + error.message;
      console.error(error);
    }
  };
  if (window.vegaEmbed) Promise.all([...document.querySelectorAll('figure.figure')].map(draw)).then(() => {
    document.documentElement.dataset.ready = 'yes';
  });

  // --- print: what is folded is opened, and closed again afterwards.
  let opened = [];
  addEventListener('beforeprint', () => {
    opened = [...document.querySelectorAll('details:not([open])')];
    for (const one of opened) one.open = true;
  });
  addEventListener('afterprint', () => {
    for (const one of opened) one.open = false;
  });
})();
