'use strict';
// A short tour for those who are here for the first time: a line that points at four places, one after the other.

function startTour() {
  try {
    if (localStorage.getItem('dream-tour')) return;
    localStorage.setItem('dream-tour', 'shown');
  } catch {
    return;  // nothing can be stored: it would come each time
  }
  const stops = [...byId('tour').querySelectorAll('[data-at]')];  // texts, each with the id of its place
  const goTo = number => {
    document.querySelector('.pointed')?.classList.remove('pointed');
    stops.forEach((stop, n) => { stop.hidden = n !== number; });
    byId('tour').hidden = number >= stops.length;
    byId('tour-next').textContent = number + 1 < stops.length ? 'Next' : 'Done';
    byId('tour-next').onclick = () => goTo(number + 1);
    if (byId('tour').hidden) return;
    const place = byId(stops[number].dataset.at);
    place.classList.add('pointed');
    if (number) place.scrollIntoView({ block: 'center' });
    speak(stops[number].textContent);
  };
  byId('tour-end').onclick = () => goTo(stops.length);
  goTo(0);
}
