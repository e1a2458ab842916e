// What the helper itself runs in a page: called as a function body with the name of a part and its arguments.
const [part, ...given] = arguments;

const parts = {
  // A link or a form would open another window, in which nobody would look.
  stay(e) {
    for (const holder of [e.closest('[target]'), e.form]) {
      if (holder?.target && holder.target !== '_self') holder.target = '_self';
    }
    return true;
  },

  // Takes every secret off the page, and what is typed in password fields; what cannot be looked into is hidden.
  blank(secrets) {
    const has = (value) => {
      const plain = String(value ?? '').replace(/\s+/g, '');
      return secrets.some((secret) => secret !== '' && plain.includes(secret.replace(/\s+/g, '')));
    };
    const clean = (root) => {
      for (const e of root.querySelectorAll('*')) {
        if (e.matches('input, textarea, select') && (e.type === 'password' || has(e.value))) {
          if (e.type === 'file' || e.localName === 'select') e.style.visibility = 'hidden';
          else e.value = e.value === '' ? '' : '********';
        }
        for (const { name, value } of [...e.attributes]) if (name !== 'type' && has(value)) e.setAttribute(name, '********');
        if (e.matches('iframe, frame, object, embed, canvas, video')) e.style.visibility = 'hidden';
        if (e.shadowRoot) clean(e.shadowRoot);
      }
      const deepest = [...root.querySelectorAll('*')].reverse();
      for (const e of deepest) if (!e.matches('script, style') && has(e.textContent)) e.textContent = '********';
    };
    clean(document);
    const style = document.createElement('style');
    style.textContent = '*::before, *::after { content: none !important; }';
    document.documentElement.append(style);
    if (has(document.title)) document.title = '********';
    return true;
  },
};

return parts[part](...given);
