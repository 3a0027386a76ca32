'use strict';
// Elements, and the lines in which the page says something. The first of the page's scripts.

const SPEAK_MS = 1000;  // a screen reader is told something at most this often

const byId = id => document.getElementById(id);

// An element with these properties and children.
function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// A canvas of one frame -> its 2D context
function surface(width = SIDE, height = SIDE) {
  return make('canvas', { width, height }).getContext('2d', { willReadFrequently: true });
}

// Paint a frame, rgba
function putFrame(brush, rgba) {
  brush.putImageData(new ImageData(new Uint8ClampedArray(rgba), SIDE, SIDE), 0, 0);
}

// A small picture of a frame with a text under it, as a button or a figure.
function thumbnail(kind, rgba, text, properties) {
  const small = surface();
  putFrame(small, rgba);
  return make(kind, properties, small.canvas, text);
}

// Tell screen readers what matters. Of several texts within a second they get the last.
const speaking = { timer: 0, next: 0 };
function speak(text) {
  clearTimeout(speaking.timer);
  speaking.timer = setTimeout(() => {
    byId('spoken').textContent = text;
    speaking.next = performance.now() + SPEAK_MS;
  }, speaking.next - performance.now());
}

// The line over the picture while the page loads.
const say = text => { byId('status').textContent = text; };

// The line under the keys; '' takes it away. more: elements behind the text.
function notice(text, ...more) {
  byId('notice').replaceChildren(text, ...more);
  byId('notice').hidden = !text;
  if (text) speak(text);
}
