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

  // Takes every secret off the page, and what is typed in password fields; what cannot be looked into is hidden as a whole. What no
  // script reaches, such as a closed shadow tree, is looked through afterwards by the browser's own view of the document.
  blank(secrets) {
    const squeezed = (value) => String(value ?? '').replace(/\s+/g, '');
    const wanted = secrets.map(squeezed).filter((secret) => secret !== '');
    const has = (value) => {
      const plain = squeezed(value);
      return wanted.some((secret) => plain.includes(secret));
    };
    const hide = (e) => {
      e.style.setProperty('visibility', 'hidden', 'important');
      e.style.setProperty('opacity', '0', 'important');
      e.setAttribute('data-rotord-hidden', '');
    };
    const inside = (e) => {
      try { return e.contentDocument; } catch { return null; }
    };
    const clean = (root) => {
      for (const e of root.querySelectorAll('*')) {
        if (e.matches('input, textarea, select') && (e.type === 'password' || has(e.value))) {
          if (e.type === 'file' || e.localName === 'select') hide(e);
          else e.value = e.value === '' ? '' : '********';
        }
        for (const { name, value } of [...e.attributes]) if (name !== 'type' && has(value)) e.setAttribute(name, '********');
        if (e.matches('iframe, frame')) {
          const inner = inside(e);
          if (inner) clean(inner);
          else hide(e);
        }
        if (e.matches('object, embed, canvas, video, fencedframe')) hide(e);
        if (e.shadowRoot) clean(e.shadowRoot);
      }
      const deepest = [...root.querySelectorAll('*')].reverse();
      for (const e of deepest) if (!e.matches('script, style') && has(e.textContent)) e.textContent = '********';
      const style = document.createElement('style');
      style.textContent = '*::before, *::after { content: none !important; }';
      (root.documentElement ?? root).append(style);
    };
    clean(document);
    if (has(document.title)) document.title = '********';
    return true;
  },
};

return parts[part](...given);
