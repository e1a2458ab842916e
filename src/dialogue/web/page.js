// What rotord does in a page, as the body of one function of WebDriver's "execute script": its arguments are the name of an
// operation, what it is about, and, where a value is entered, that value. A plan is a selector that was read by rotord: nothing
// here runs a text of a template or of the vault as code. An answer is {ok: …} or {trouble: …, text: …}.
const [operation, about, secret] = arguments;
const MOST_TEXT = 20000;

const fold = text => (text || '').replace(/\s+/g, ' ').trim().toLowerCase();
const ordered = list => [...new Set(list)].sort((a, b) =>
  a === b ? 0 : a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1);
const isShown = element => {
  const box = [...element.getClientRects()].some(rect => rect.width > 0 || rect.height > 0);
  return box && getComputedStyle(element).visibility === 'visible';
};
const shadowRoots = root => [...root.querySelectorAll('*')].filter(e => e.shadowRoot)
  .flatMap(e => [e.shadowRoot, ...shadowRoots(e.shadowRoot)]);

const related = (base, step) => {
  const matching = list => list.filter(e => e.matches(step.css));
  if (step.by === 'child') return matching([...base.children]);
  if (step.by === 'descendant') return [...base.querySelectorAll(step.css)];
  const behind = [];
  for (let e = base.nextElementSibling; e; e = e.nextElementSibling) {
    behind.push(e);
    if (step.by === 'next') break;
  }
  return matching(behind);
};
const keep = (list, filter) => {
  if (filter === 'visible') return list.filter(isShown);
  if (filter === 'hidden') return list.filter(e => !isShown(e));
  if (filter === 'parent') return list.filter(e => e.childNodes.length > 0);
  const [kind, value] = Object.entries(filter)[0];
  const within = e => evaluate(value, [e.getRootNode()]).includes(e);
  switch (kind) {
    case 'contains': return list.filter(e => fold(e.textContent).includes(fold(value)));
    case 'eq': return list.slice(value < 0 ? list.length + value : value).slice(0, 1);
    case 'lt': return list.slice(0, value);
    case 'gt': return list.slice(value + 1);
    case 'css': return list.filter(e => e.matches(value));
    case 'has': return list.filter(e => evaluate(value, [e]).length > 0);
    case 'is': return list.filter(within);
    case 'not': return list.filter(e => !within(e));
  }
  return [];
};
const evaluate = (plan, roots) => ordered(plan.flatMap(steps => {
  let found = roots;
  for (const step of steps) {
    found = ordered(found.flatMap(base => related(base, step)));
    for (const filter of step.filters || []) found = keep(found, filter);
  }
  return found;
}));
// Plain CSS first; in open shadow trees where that finds nothing.
const find = plan => {
  const found = evaluate(plan, [document]);
  return found.length ? found : evaluate(plan, shadowRoots(document));
};
// The one that is meant where several match: what a person sees, else a hidden field, else the first.
const choose = list => list.find(isShown) || list.find(e => e.type === 'hidden') || list[0];

const visibleText = () => {
  if (!document.body) return '';
  const buttons = [...document.querySelectorAll('input[type=submit],input[type=button],input[type=reset]')];
  const below = shadowRoots(document).flatMap(root => [...root.children].filter(e => e.innerText !== undefined && isShown(e)));
  return [document.body.innerText, ...below.map(e => e.innerText), ...buttons.filter(isShown).map(e => e.value)].join('\n');
};
const markup = () => {
  if (!document.body) return '';
  const copy = document.body.cloneNode(true);
  copy.querySelectorAll('script,style,template,noscript').forEach(e => e.remove());
  const values = [...copy.querySelectorAll('input[type=submit],input[type=button]')].map(e => e.getAttribute('value'));
  return [copy.textContent, ...values].join('\n');
};

// Whether the page is being left: a navigation has begun, and the next page is not there yet.
const LEAVING = Symbol.for('page is being left');
const isLeaving = () => {
  if (!window[LEAVING]) {
    const state = { since: 0 };
    Object.defineProperty(window, LEAVING, { value: state });
    addEventListener('beforeunload', () => { state.since = performance.now(); });
  }
  const since = window[LEAVING].since;
  return since > 0 && performance.now() - since < 15000;
};
// Chromium shows its own page for a certificate that is not trusted and for what cannot be reached; WebDriver tells no error.
// The status of the answer that the page is, also where the browser shows a page of its own in its place; 0 where it has none.
const status = () => performance.getEntriesByType('navigation')[0]?.responseStatus ?? 0;
const pageError = () => {
  if (location.protocol !== 'chrome-error:') return null;
  const text = ['#main-message', '.error-code', '#error-code'].map(css => document.querySelector(css)?.innerText || '').join(' ');
  return { certificate: document.body?.classList.contains('ssl') || /CERT|SSL/.test(text), text: text.trim().slice(0, 300), status: status() };
};
// Puzzles that ask for a person, by what their makers' pages say is put into a form.
const challenge = () => {
  const frames = [...document.querySelectorAll('iframe')].filter(isShown).map(e => e.src || '');
  const filled = css => [...document.querySelectorAll(css)].some(e => e.value);
  const box = css => [...document.querySelectorAll(css)].some(e => isShown(e) && e.dataset.size !== 'invisible');
  const kinds = [
    ['reCAPTCHA', frames.some(src => /recaptcha\/(api2|enterprise)\/(anchor|bframe)/.test(src) && !/size=invisible/.test(src)) || box('.g-recaptcha'),
      filled('textarea[name=g-recaptcha-response]')],
    ['hCaptcha', frames.some(src => /hcaptcha\.com/.test(src)) || box('.h-captcha'), filled('textarea[name=h-captcha-response]')],
    ['Turnstile', frames.some(src => /challenges\.cloudflare\.com/.test(src)) || box('.cf-turnstile'), filled('input[name=cf-turnstile-response]')],
    ['CAPTCHA', box('input[name*=captcha i]:not([type=hidden]),input[id*=captcha i]:not([type=hidden]),img[src*=captcha i],[data-captcha]'),
      filled('input[name*=captcha i]:not([type=checkbox]),input[id*=captcha i]:not([type=checkbox])')
        || [...document.querySelectorAll('input[name*=captcha i],input[id*=captcha i]')].some(e => e.checked)],
  ];
  const found = kinds.find(([, there]) => there);
  return found ? { kind: found[0], solved: found[2] } : null;
};

const holds = condition => {
  const [kind, value] = Object.entries(condition)[0];
  switch (kind) {
    case 'selector': return find(value).some(isShown);
    case 'gone': return !find(value).some(isShown);
    case 'text': return fold(visibleText()).includes(fold(value));
    case 'markup': return fold(visibleText()).includes(fold(value)) || fold(markup()).includes(fold(value));
    case 'solved': { const there = challenge(); return !there || there.solved; }
  }
  return false;
};
const look = () => ({
  url: location.href,
  title: document.title,
  ready: document.readyState,
  leaving: isLeaving(),
  mark: [performance.timeOrigin, location.href, document.getElementsByTagName('*').length,
    document.body ? document.body.innerText.length : 0, performance.getEntriesByType('resource').length].join(' '),
  holds: (about.conditions || []).map(holds),
  error: pageError(),
  challenge: challenge(),
  element: about.plan ? operations.element() : about.name ? operations.field() : null,
});

const descriptor = (element, name) => {
  for (let at = Object.getPrototypeOf(element); at; at = Object.getPrototypeOf(at)) {
    const found = Object.getOwnPropertyDescriptor(at, name);
    if (found) return found;
  }
  return null;
};
const setValue = (element, value) => {
  const found = descriptor(element, 'value');
  if (found && found.set) found.set.call(element, value); else element.textContent = value;
};
const tell = (element, ...kinds) => kinds.forEach(kind => {
  const init = { bubbles: true, composed: true };
  const event = kind.startsWith('key') ? new KeyboardEvent(kind, init)
    : kind === 'input' ? new InputEvent(kind, { ...init, inputType: 'insertText' }) : new Event(kind, init);
  element.dispatchEvent(event);
});
const enter = (element, value) => {
  element.focus();
  setValue(element, '');
  tell(element, 'keydown', 'input');
  setValue(element, value);
  tell(element, 'keypress', 'input', 'keyup', 'change');
};

const trouble = (kind, text) => ({ trouble: kind, text });
const one = plan => choose(find(plan));
const described = element => ({
  shown: isShown(element) || element.type === 'hidden',
  disabled: !!element.disabled || !!element.readOnly && element.tagName !== 'BUTTON',
  most: element.maxLength > 0 ? element.maxLength : null,
  password: element.type === 'password',
  tag: element.tagName.toLowerCase(),
});

// Fields of the form client: by name, in the form with the chosen button where there is one.
const named = (root, name) => [...root.querySelectorAll('input,select,textarea,button')].filter(e => e.name === name);
const buttonIn = (form, name) => [...form.querySelectorAll('button,input[type=submit],input[type=image],input[type=button]')]
  .find(e => e.name === name || e.id === name || fold(e.value) === fold(name));
const formFor = (button, names) => {
  const score = form => (button && buttonIn(form, button) ? 1000 : 0) + names.filter(name => named(form, name).length).length;
  const all = [...document.querySelectorAll('form')].map(form => [score(form), form]).filter(([points]) => points > 0);
  return all.sort((a, b) => b[0] - a[0]).map(([, form]) => form)[0] || null;
};

const operations = {
  look,
  element: () => {
    const found = one(about.plan);
    return found ? described(found) : null;
  },
  // The element itself, scrolled to, for WebDriver's own keys and clicks; emptied where keys follow.
  point: () => {
    const found = one(about.plan);
    if (!found) return trouble('missing', '');
    found.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
    if (about.empty) {
      found.focus();
      setValue(found, '');
      tell(found, 'input');
    }
    return { element: found };
  },
  fill: () => {
    const found = one(about.plan);
    if (!found) return trouble('missing', '');
    found.scrollIntoView({ block: 'center', behavior: 'instant' });
    enter(found, secret);
    return { ok: true };
  },
  click: () => {
    const found = one(about.plan);
    if (!found) return trouble('missing', '');
    found.click();
    return { ok: true };
  },
  prop: () => {
    const found = one(about.plan);
    if (!found) return trouble('missing', '');
    const value = typeof secret === 'string' ? secret : about.value;
    if (about.name === 'value') enter(found, String(value)); else found[about.name] = value;
    return { ok: true };
  },
  select: () => {
    const found = one(about.plan);
    if (!found) return trouble('missing', '');
    const options = [...(found.options || [])];
    const wanted = options.find(o => fold(o.text) === fold(secret) || o.value === secret)
      || options.find(o => fold(o.text).includes(fold(secret)));
    if (!wanted) return trouble('option', options.slice(0, 20).map(o => o.text.trim()).join(', '));
    found.value = wanted.value;
    wanted.selected = true;
    tell(found, 'input', 'change');
    return { ok: true };
  },
  check: () => {
    const found = one(about.plan);
    if (!found) return trouble('missing', '');
    if (found.checked !== about.on) found.click();
    return found.checked === about.on ? { ok: true } : trouble('refused', 'the box does not stay as it was set');
  },
  field: () => {
    const root = formFor(about.button, [about.name]) || document;
    const found = named(root, about.name)[0] || named(document, about.name)[0];
    return found ? { ...described(found), shown: true, disabled: false } : null;
  },
  'fill-form': () => {
    const root = formFor(about.button, [about.name]) || document;
    const found = [named(root, about.name), named(document, about.name)].find(list => list.length) || [];
    if (!found.length) return trouble('missing', '');
    const group = found.filter(e => e.type === 'radio' || e.type === 'checkbox');
    if (group.length) {
      const wanted = group.find(e => e.value === secret) || group[0];
      if (!wanted.checked) wanted.click();
      return { ok: true };
    }
    const element = found.find(isShown) || found[0];
    element.disabled = false;
    if (element.tagName === 'BUTTON' || /^(submit|image|button|hidden)$/.test(element.type)) element.value = secret;
    else enter(element, secret);
    return { ok: true };
  },
  submit: () => {
    const form = formFor(about.button, about.names);
    if (!form) return trouble('missing', '');
    const submits = 'button:not([type]),button[type=submit],input[type=submit],input[type=image]';
    const button = about.button ? buttonIn(form, about.button) : form.querySelector(submits);
    if (about.button && !button) return trouble('missing', '');
    // A form client knows no validation by the page, and sends what it was given.
    form.setAttribute('novalidate', '');
    about.names.flatMap(name => named(form, name)).forEach(e => { e.disabled = false; });
    if (button) button.disabled = false;
    if (button && /^(button|reset)$/.test(button.type)) button.click();
    else HTMLFormElement.prototype.requestSubmit.call(form, button || undefined);
    return { ok: true };
  },
  // What there is, for a person who looks for what a template does not find. No value of a field is in it.
  survey: () => {
    const labelOf = e => (e.labels && e.labels[0] ? e.labels[0].textContent : e.getAttribute('aria-label') || e.placeholder || '');
    const wanted = 'input,select,textarea,button,a[href],iframe,form,[id],[role]';
    const all = ordered([document, ...shadowRoots(document)].flatMap(root => [...root.querySelectorAll(wanted)]));
    const first = all.filter(e => /^(INPUT|SELECT|TEXTAREA|BUTTON|IFRAME)$/.test(e.tagName));
    const elements = [...new Set([...first, ...all])].slice(0, 300).map(e => ({
      tag: e.tagName.toLowerCase(), id: e.id || '', name: e.getAttribute('name') || '', type: e.getAttribute('type') || '',
      classes: [...e.classList].slice(0, 5).join(' '), role: e.getAttribute('role') || '',
      label: fold(labelOf(e)).slice(0, 80),
      text: /^(BUTTON|A|LABEL|H1|H2|H3)$/.test(e.tagName) ? (e.textContent || '').replace(/\s+/g, ' ').trim().slice(0, 80) : '',
      shown: isShown(e),
    }));
    const alerts = '[role=alert],[aria-live=assertive],.alert,.error,.errors,.errorlist,.error-message,.invalid-feedback,'
      + '.notice-error,#login_error,.mw-message-box-error,.cdx-message--error,.form-error,.MuiAlert-message,.SnackbarItem-message';
    const said = [...document.querySelectorAll(alerts)].filter(isShown).map(e => e.innerText.replace(/\s+/g, ' ').trim().slice(0, 300));
    // Nothing tells of a closed shadow tree but that an element without content has a size.
    const closed = [...document.querySelectorAll('body *')].find(e => !e.childNodes.length && !e.shadowRoot && e.offsetHeight > 15
      && e.offsetWidth > 15 && (e.tagName.includes('-') || /^(DIV|SPAN|MAIN|SECTION|ARTICLE|ASIDE|HEADER|FOOTER|NAV|P)$/.test(e.tagName)));
    return {
      closed: closed ? closed.tagName.toLowerCase() + (closed.id ? `#${closed.id}` : '') : '',
      url: location.href, title: document.title, text: visibleText().slice(0, MOST_TEXT),
      said: [...new Set(said.filter(text => text))].slice(0, 6), elements, status: status(), error: pageError(), challenge: challenge(),
      fields: [...document.querySelectorAll('input')].filter(isShown).map(e => e.type).join(' '),
    };
  },
};
return operations[operation]();
