// What a recording needs of a page, as the body of a function of WebDriver's "execute script". Its arguments are an operation and
// what it is about. `page`: the page's elements, texts and what is hidden, without scripts, styles and pictures, and without what
// stands in its fields: {url, title, html}. `describe`: an element by what names it, never by its place: {selector, …}.
const [operation, about] = arguments;
const DROPPED = new Set(['script', 'style', 'link', 'meta', 'noscript', 'template', 'svg', 'canvas', 'video', 'audio', 'object',
  'embed', 'base', 'source', 'track', 'picture', 'br', 'hr', 'wbr', 'param']);
const VOID = new Set(['area', 'col', 'img', 'input']);
const INLINE = new Set(['a', 'abbr', 'b', 'bdi', 'bdo', 'cite', 'code', 'em', 'font', 'i', 'img', 'kbd', 'label', 'mark', 'q', 's',
  'small', 'span', 'strong', 'sub', 'sup', 'u']);
const KEPT = ['id', 'name', 'type', 'class', 'role', 'for', 'href', 'src', 'action', 'method', 'placeholder', 'title', 'alt',
  'aria-label', 'aria-live', 'autocomplete', 'maxlength', 'data-test', 'data-testid', 'data-label', 'data-name', 'data-size'];
const FLAGS = ['disabled', 'readonly', 'required', 'checked', 'selected'];
const MOST_OPTIONS = 12;

const isShown = element => {
  const box = [...element.getClientRects()].some(rect => rect.width > 0 || rect.height > 0);
  return box && getComputedStyle(element).visibility === 'visible';
};
const escaped = text => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
const folded = text => text.replace(/\s+/g, ' ');
// Of an address, the path, and what of the query is no token.
const address = text => {
  if (/^(data|blob|javascript):/i.test(text)) return '';
  const [before, query] = text.split('#')[0].split('?');
  const short = (query || '').split('&').filter(part => part && !/token|nonce|session|csrf/i.test(part.split('=')[0])
    && !(/[0-9]/.test(part.split('=')[1] || '') && part.split('=')[1].length >= 8));
  return before + (short.length ? '?' + short.join('&') : '');
};
const attributesOf = element => {
  const tag = element.tagName.toLowerCase();
  const type = tag === 'input' || tag === 'button' ? element.type : '';
  const found = [];
  for (const name of KEPT) {
    let value = element.getAttribute(name);
    if (value === null || (value === '' && name !== 'for')) continue;
    if (name === 'src' && tag !== 'iframe') continue;
    if (name === 'class') value = [...element.classList].slice(0, 6).join(' ');
    if (name === 'href' || name === 'src' || name === 'action') value = address(value);
    if (value) found.push(` ${name}="${escaped(folded(value))}"`);
  }
  // What a field holds is never kept: it may be a secret, or a token of the session.
  const worded = /^(submit|button|reset|checkbox|radio)$/.test(type) || tag === 'option';
  const value = element.getAttribute('value');
  if (worded && value) found.push(` value="${escaped(folded(value)).slice(0, 100)}"`);
  for (const name of FLAGS) {
    const now = name === 'readonly' ? element.readOnly : element[name];
    if (now === true) found.push(' ' + name);
  }
  return found.join('');
};
// An element as {tag, attributes, shown, control, children}, or a text; null for what is left out.
const read = node => {
  if (node.nodeType === Node.TEXT_NODE) return node.textContent.trim() ? { text: folded(node.textContent) } : null;
  if (node.nodeType !== Node.ELEMENT_NODE) return null;
  const tag = node.tagName.toLowerCase();
  if (DROPPED.has(tag)) return null;
  let below = [...node.childNodes];
  if (node.shadowRoot) below = [...node.shadowRoot.childNodes, ...below];
  if (tag === 'iframe') {
    try { below = [...node.contentDocument.body.childNodes]; } catch (e) { below = []; }
  }
  if (tag === 'select') below = below.filter((e, at) => at < MOST_OPTIONS || e.selected);
  if (tag === 'textarea') below = [];
  const children = below.map(read).filter(child => child);
  const shown = isShown(node) || children.some(child => child.shown);
  const control = /^(input|select|textarea|button|label|iframe|form)$/.test(tag) || children.some(child => child.control);
  if (!shown && !control && tag !== 'option') return null;
  const attributes = attributesOf(node);
  // What only groups others, and has no name, is left out.
  if (!attributes && /^(div|span|section|article|main|header|footer|center|tbody|font|b|i|small|strong|em)$/.test(tag) && shown) {
    if (!children.length) return null;
    if (children.length === 1) return children[0];
  }
  if (!attributes && !children.length && /^(div|span|p|ul|ol|li|td|tr|i|b|section)$/.test(tag)) return null;
  return { tag, attributes, shown, control, children, inline: INLINE.has(tag) };
};
const isOneLine = child => child.text !== undefined || child.inline && (child.children || []).every(isOneLine);
const flat = child => {
  if (child.text !== undefined) return escaped(child.text);
  return tagged(child, true, child.children.map(flat).join(''));
};
const tagged = (child, inShown, inner) => {
  const hidden = inShown && !child.shown && !/ type="hidden"/.test(child.attributes) && child.tag !== 'option' ? ' hidden' : '';
  const start = `<${child.tag}${child.attributes}${hidden}>`;
  return VOID.has(child.tag) ? start : `${start}${inner}</${child.tag}>`;
};
const lines = (child, depth, inShown) => {
  const blank = '  '.repeat(depth);
  if (child.text !== undefined) return [blank + escaped(child.text.trim())];
  if (child.children.every(isOneLine)) return [blank + tagged(child, inShown, child.children.map(flat).join('').trim())];
  const start = tagged(child, inShown, '\n').split('\n');
  const inner = child.children.flatMap(one => lines(one, depth + 1, child.shown));
  return [blank + start[0], ...inner, blank + start[1]];
};
const page = () => {
  const all = document.body ? [...document.body.childNodes].map(read).filter(child => child) : [];
  return {
    url: location.href,
    title: document.title,
    html: [`<title>${escaped(folded(document.title))}</title>`, ...all.flatMap(child => lines(child, 0, true))].join('\n'),
  };
};

// Names that a page makes anew each time are none.
const isMade = name => /[0-9]{4}|[:]|[0-9a-f]{8}|^(mui|radix|react|ember|ext-gen|yui)/i.test(name);
const quoted = text => /^[A-Za-z_][A-Za-z0-9_-]*$/.test(text) ? text : `'${text.replace(/\\/g, '\\\\').replace(/'/g, "\\'")}'`;
const shownBy = css => {
  try { return [...document.querySelectorAll(css)].filter(isShown); } catch (e) { return []; }
};
const allBy = css => {
  try { return [...document.querySelectorAll(css)]; } catch (e) { return []; }
};
// The first selector by which a person's eye finds this element alone.
const selectorOf = element => {
  const tag = element.tagName.toLowerCase();
  const by = isShown(element) ? shownBy : allBy;
  const is = css => { const found = by(css); return found.length === 1 && found[0] === element; };
  const plain = [];
  if (element.id && !isMade(element.id)) plain.push('#' + CSS.escape(element.id));
  for (const name of ['name', 'data-test', 'data-testid', 'aria-label', 'placeholder', 'data-label']) {
    const value = element.getAttribute(name);
    if (value && value.length <= 60 && !isMade(value)) plain.push(`${tag}[${name}=${quoted(value)}]`);
  }
  const type = /^(input|button)$/.test(tag) ? element.getAttribute('type') : '';
  if (type && /^(submit|password|email|search)$/.test(type)) plain.push(`${tag}[type=${type}]`);
  const href = tag === 'a' ? address(element.getAttribute('href') || '') : '';
  if (href && href !== '#') plain.push(`a[href^=${quoted(href)}]`);
  const found = plain.find(is);
  if (found) return found;
  const text = folded(element.innerText || '').trim();
  const role = element.getAttribute('role') || '';
  const bare = role && !isMade(role) ? `[role=${quoted(role)}]` : tag;
  if (text && text.length <= 60 && /^(a|button|label|summary)$/.test(tag) | !!role) {
    const same = shownBy(bare).filter(e => folded(e.innerText || '').toLowerCase().includes(text.toLowerCase()));
    if (same.length === 1) return `${bare}:contains(${quoted(text)})`;
  }
  // Within the form that has a field of a name.
  const form = element.closest('form');
  const field = form && [...form.querySelectorAll('input,select,textarea')].find(e => isShown(e) && e !== element
    && (e.id && !isMade(e.id) || e.name));
  if (field) {
    const known = field.id && !isMade(field.id) ? '#' + CSS.escape(field.id) : `[name=${quoted(field.name)}]`;
    const inForm = [...form.querySelectorAll(tag)].filter(isShown);
    for (const part of [...plain, tag]) {
      const matching = inForm.filter(e => { try { return e.matches(part); } catch (error) { return false; } });
      if (matching.length === 1) return `form:has(${known}) ${part}`;
    }
    if (text && text.length <= 60) return `form:has(${known}) ${tag}:contains(${quoted(text)})`;
  }
  const classes = [...element.classList].filter(name => !isMade(name)).slice(0, 3).map(name => '.' + CSS.escape(name)).join('');
  return classes && is(tag + classes) ? tag + classes : '';
};
// What a click at an element is meant for: a control, a link or what acts as one, else the element itself.
const CONTROLS = 'button,a,input,select,textarea,label,summary,[role=button],[role=menuitem],[role=tab],[onclick]';
const meant = element => element && (element.closest(CONTROLS) || element);
const describe = element => {
  if (!element) return null;
  const tag = element.tagName.toLowerCase();
  const kind = tag === 'input' ? element.type : tag;
  const label = element.labels && element.labels[0] ? element.labels[0].textContent : element.getAttribute('aria-label') || '';
  const isBox = /^(checkbox|radio)$/.test(kind);
  const isField = /^(input|textarea|select)$/.test(tag) && !/^(submit|button|image|reset|file|hidden)$/.test(kind);
  return {
    selector: selectorOf(element), tag, kind, field: isField, label: folded(label).trim().slice(0, 80),
    control: element.matches(CONTROLS),
    text: folded(element.innerText || (isField ? '' : element.value) || '').trim().slice(0, 80), on: isBox ? element.checked : null,
  };
};
// Every field whose content is not the page's own, with its content.
const fields = () => [...document.querySelectorAll('input,textarea,select')].filter(isShown).map(element => {
  const found = describe(element);
  if (!found || !found.field) return null;
  if (found.on !== null) return element.checked === element.defaultChecked ? null : { ...found, value: element.checked ? 'on' : 'off' };
  const own = element.tagName === 'SELECT' ? ([...element.options].find(o => o.defaultSelected) || element.options[0] || {}).value : element.defaultValue;
  return element.value === own ? null : { ...found, value: element.value };
}).filter(found => found);
const deep = element => (element && element.shadowRoot && element.shadowRoot.activeElement) || element;
const operations = {
  page,
  describe: () => describe(about),
  at: () => describe(meant(document.elementFromPoint(about[0], about[1]))),
  focus: () => describe(deep(document.activeElement)),
  fields,
};
return operations[operation]();
