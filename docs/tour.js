'use strict';
// A short tour for those who are here for the first time: a line that points at four places. It comes once.

const TOUR = [
  ['keys', 'Hold the keys, or the buttons: no game runs here, a network dreams what happens.'],
  ['inside', 'Look inside: 16 numbers are the whole picture. Drag one, and the dream continues from there.'],
  ['compare', 'Compare with the truth: the real game beside the dream, under the same keys.'],
  ['keep', 'Keep and share: a GIF, or a link that repeats your dream bit for bit.'],
];

function startTour() {
  try {
    if (localStorage.getItem('tour')) return;
    localStorage.setItem('tour', 'shown');
  } catch {
    return;  // nothing can be stored: it would come each time
  }
  let at = -1;
  const next = () => {
    at += 1;
    document.querySelector('.pointed')?.classList.remove('pointed');
    byId('tour').hidden = at >= TOUR.length;
    if (at >= TOUR.length) return;
    const [id, text] = TOUR[at], place = byId(id);
    place.classList.add('pointed');
    if (at) place.scrollIntoView({ block: 'center' });
    byId('tour').firstElementChild.textContent = text;
    byId('tour-next').textContent = at + 1 < TOUR.length ? 'Next' : 'Done';
    speak(text);
  };
  byId('tour-next').onclick = next;
  byId('tour-end').onclick = () => { at = TOUR.length; next(); };
  next();
}
