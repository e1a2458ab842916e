// What the helper runs in each page of a browser that a person works in: called as a function body with the name of a part and its
// arguments. Documents of other origins keep themselves to themselves.
const [part, ...given] = arguments;

// The document and all that can be looked into from it: open shadow trees, and frames of the same origin.
const roots = (root) => [root, ...[...root.querySelectorAll('*')].flatMap((e) => {
  const inner = e.shadowRoot ? [e.shadowRoot] : [];
  if (e.matches('iframe, frame')) {
    try { if (e.contentDocument) inner.push(e.contentDocument); } catch { /* another origin */ }
  }
  return inner.flatMap(roots);
})];

const parts = {
  // Empties each field with a secret in it, and says in how many places one still stands. With `all`, what stands in any password
  // field goes too.
  clear(secrets, all) {
    const has = (value) => {
      const text = String(value ?? '');
      return secrets.some((secret) => secret !== '' && text.includes(secret));
    };
    let left = 0;
    for (const root of roots(document)) {
      for (const e of root.querySelectorAll('input, textarea')) {
        if (has(e.value) || all && e.type === 'password' && e.value !== '') {
          e.value = '';
          e.removeAttribute('value');
        }
        left += has(e.value) ? 1 : 0;
      }
      for (const e of root.querySelectorAll('*')) {
        for (const { name, value } of [...e.attributes]) if (has(value)) e.setAttribute(name, '');
      }
      left += has(root.body ? root.body.innerText : root.textContent) ? 1 : 0;
    }
    return left + (has(decodeURIComponent(location.href.replace(/%(?![0-9a-f]{2})/gi, '%25'))) ? 1 : 0);
  },
};

return parts[part](...given);
