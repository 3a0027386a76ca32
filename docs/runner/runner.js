// The sprinter: a ragdoll of 12 bodies and 11 joints driven by Q W O P, in the physics engine planck. No page, no clock:
// new Runner(), then tick() after tick(), and drawRunner() to paint it. The same keys give the same run.
//
// Masses, limits, motors, the key law and the rules are those measured on Bennett Foddy's QWOP; the drawing is our own.
// Units: u of length (10 u = 1 metre, 20 px = 1 u on 640 x 400), radians, one tick = 1/30 s on the clock = 0.04 s of
// physics. x to the right, y down, positive angles turn clockwise.
"use strict";

const TICK_MS = 1000 / 30;
const STEP = 0.04, ITERATIONS = 5;
const VIEW = { width: 640, height: 400, scale: 20, left: 14, top: -10 }; // the torso stays 14 u from the left edge

// name: x, y, angle at the start, half length, half width, density, friction
const BODIES = {
  torso: [2.5111726226000157, -1.8709517533957938, -1.2514497119301329, 3.275, 1.425, 1, 0.2],
  head: [3.888130278719558, -5.621802929095265, 0.06448415835225099, 1.075, 1.325, 1, 0.2],
  leftForearm: [5.830008603424893, -2.8733539631159584, -1.2049772618421237, 1.75, 0.55, 1, 0.2],
  leftThigh: [2.5648987628203876, 1.648090668682522, -2.0177234426823394, 2.525, 1, 1, 0.2],
  leftArm: [4.417861014480877, -2.806563606410589, 0.9040095895272826, 1.85, 0.625, 1, 0.2],
  leftCalf: [3.12585731974087, 5.525511655361298, -1.5903971528225265, 2.5, 0.75, 1, 0.2],
  leftFoot: [3.926921842806667, 8.08884032049622, 0.12027524643408766, 1.35, 0.675, 3, 1.5],
  rightForearm: [0.4078206420797428, -1.0599953233084172, -1.7553358283857299, 2.225, 0.675, 1, 0.2],
  rightArm: [1.1812303663272852, -3.5000256518601014, -0.5222217404634386, 1.95, 0.75, 1, 0.2],
  rightCalf: [-0.07253905736790486, 5.347881871063159, -0.7588859967104447, 2.5, 0.75, 1, 0.2],
  rightFoot: [-1.1254742643908706, 7.567193169625567, 0.5897605418219602, 1.35, 0.725, 3, 1.5],
  rightThigh: [1.6120186135678773, 2.0615320561881516, 1.4849422964528027, 2.65, 1, 1, 0.2],
};
// The order of pose(): the same in every recorded episode.
const PARTS = ["torso", "head", "leftArm", "leftForearm", "leftThigh", "leftCalf", "leftFoot",
  "rightArm", "rightForearm", "rightThigh", "rightCalf", "rightFoot"];

// name: body A, body B (parent), anchor in A, anchor in B, reference angle, limits, greatest motor torque (0: no motor)
const JOINTS = {
  neck: ["head", "torso", -0.22839485113389013, 1.1126087775923434,
    2.859519853416241, 0.1894010834667077, -1.308996406363529, -0.5, 0, 0],
  rightShoulder: ["rightArm", "torso", 1.2001841231501342, 0.014095940491621661,
    2.0154692227269657, -0.963716471396211, -0.7853907065463961, -0.5, 1.5, 1000],
  leftShoulder: ["leftArm", "torso", -1.06207890966549, 0.17409394631566927,
    1.9283425691848988, 0.5346402981158307, -2.09438311816829, -2, 0, 1000],
  leftHip: ["leftThigh", "torso", 1.5149934600879298, 0.10302974517488483,
    -2.1617729534350554, 0.17997450596313957, 0.7258477508944043, -1.5, 0.5, 6000],
  rightHip: ["rightThigh", "torso", -2.0961942262183917, 0.18536556036297194,
    -2.162191390759836, -0.6165265219145436, -2.719359381718199, -1.3, 0.7, 6000],
  leftElbow: ["leftForearm", "leftArm", -1.2620587423023988, 0.15722668659641342,
    1.6027887369842992, -0.14793204384539627, 2.09438311816829, -0.1, 0.5, 0],
  rightElbow: ["rightForearm", "rightArm", 1.786878910753607, -0.0875161173956252,
    -1.3780071636887363, 0.014064825719664498, 1.2968199012274688, -0.1, 0.5, 0],
  leftKnee: ["leftCalf", "leftThigh", 2.0031668711363886, 0.29778450493880393,
    -2.039930985466258, -0.06884320616201656, -0.3953113764119829, -1.6, 0, 3000],
  rightKnee: ["rightCalf", "rightThigh", 1.9464226250774301, 0.23026118775573867,
    2.0958596632699917, 0.29461641905670727, 2.2893406247158676, -1.3, 0.3, 3000],
  leftAnkle: ["leftFoot", "leftCalf", -0.6270934582479109, -0.06637286435491148,
    -2.425382538900126, 0.13895539751438638, -1.7244327585010226, -0.5, 0.5, 0],
  rightAnkle: ["rightFoot", "rightCalf", -0.7779783144804977, -0.20811593451266924,
    -2.2591139640195603, 0.08142886510219238, -1.5708045825942758, -0.5, 0.5, 0],
};
const TRACK = 1, BODY = 2, HURDLE = 4; // collision categories
const TRACK_TOP = 9.14275, SEGMENT = 32;
const FALLS_ON = new Set(["head", "leftArm", "leftForearm", "rightArm", "rightForearm"]);

class Runner {
  constructor() {
    this.keys = { q: false, w: false, o: false, p: false };
    this.restart();
  }

  // A fresh world and a fresh ragdoll; held keys stay held.
  restart() {
    const { World, Vec2, Box, RevoluteJoint, Settings } = planck;
    Settings.baumgarte = 1; // contacts are pushed apart at once; stock Box2D takes a fifth a step
    this.world = new World({ gravity: Vec2(0, 10), continuousPhysics: false });
    this.fallen = this.finished = this.jumped = false;
    this.ticks = 0;
    this.cameraX = BODIES.torso[0] - VIEW.left;
    const box = (name, type, x, y, angle, halfLength, halfWidth, fixture) => {
      const body = this.world.createBody({ type, position: Vec2(x, y), angle, userData: name,
        awake: fixture.filterCategoryBits !== HURDLE });
      const shape = Box(halfLength, halfWidth);
      shape.m_radius = 0.005;
      body.createFixture(shape, { restitution: 0, friction: 0.2, density: 1, ...fixture });
      return body;
    };
    const still = { filterCategoryBits: TRACK, filterMaskBits: 0xffff };
    this.track = [0, 1, 2].map((i) => box("track", "static", this.segmentX(i), TRACK_TOP + 1.6, 0, SEGMENT / 2, 1.6, still));
    box("wall", "static", -39.99625, 2.10625, 0, 6.275, 7.475, still);
    const base = box("hurdle", "dynamic", 500, 8.775, 0, 1.675, 0.3, { filterCategoryBits: HURDLE, filterMaskBits: 65529 });
    const top = box("hurdle", "dynamic", 500.865, 5.0575, 0, 0.5375, 3.65, { filterCategoryBits: HURDLE, filterMaskBits: 65531 });
    this.hurdle = top;
    this.world.createJoint(new RevoluteJoint({ bodyA: top, bodyB: base, localAnchorA: Vec2(0.18, 3.73),
      localAnchorB: Vec2(1.045, 0.0125), referenceAngle: 0, enableLimit: true, lowerAngle: 0, upperAngle: 0 }));
    this.bodies = {};
    for (const [name, [x, y, angle, halfLength, halfWidth, density, friction]] of Object.entries(BODIES)) {
      this.bodies[name] = box(name, "dynamic", x, y, angle, halfLength, halfWidth,
        { density, friction, filterCategoryBits: BODY, filterMaskBits: 65533 });
    }
    this.joints = {};
    for (const [name, [a, b, ax, ay, bx, by, reference, lower, upper, torque]] of Object.entries(JOINTS)) {
      this.joints[name] = this.world.createJoint(new RevoluteJoint({ bodyA: this.bodies[a], bodyB: this.bodies[b],
        localAnchorA: Vec2(ax, ay), localAnchorB: Vec2(bx, by), referenceAngle: reference,
        enableLimit: true, lowerAngle: lower, upperAngle: upper, enableMotor: torque > 0, maxMotorTorque: torque }));
    }
    this.world.on("begin-contact", (contact) => this.touch(contact));
  }

  segmentX(i) {
    return SEGMENT * (Math.floor(this.cameraX * VIEW.scale / VIEW.width) + i);
  }

  // Metres run, as the score board shows them.
  get score() {
    return Math.round(this.bodies.torso.getPosition().x) / 10;
  }

  get over() {
    return this.fallen || this.finished;
  }

  touch(contact) {
    const names = [contact.getFixtureA(), contact.getFixtureB()].map((fixture) => fixture.getBody().getUserData());
    if (!names.includes("track")) return;
    const part = names.find((name) => name !== "track");
    if (FALLS_ON.has(part) && !this.over) this.fall(part);
  }

  fall(part) {
    this.fallen = true;
    this.firstToHit = part;
    if (this.jumped) this.finished = true;
    for (const name of ["leftHip", "rightHip", "leftKnee", "rightKnee", "leftShoulder", "rightShoulder"]) {
      this.joints[name].enableMotor(false);
      if (!name.endsWith("Hip")) this.joints[name].enableLimit(false);
    }
  }

  // What the held keys do to motors and limits; Q goes before W, O before P.
  control() {
    const { q, w, o, p } = this.keys;
    const hips = q ? 1 : w ? -1 : 0, knees = o ? 1 : p ? -1 : 0;
    this.joints.rightHip.setMotorSpeed(2.5 * hips);
    this.joints.leftHip.setMotorSpeed(-2.5 * hips);
    this.joints.rightShoulder.setMotorSpeed(-2 * hips);
    this.joints.leftShoulder.setMotorSpeed(2 * hips);
    this.joints.rightKnee.setMotorSpeed(2.5 * knees);
    this.joints.leftKnee.setMotorSpeed(-2.5 * knees);
    if (knees > 0) {
      this.joints.leftHip.setLimits(-1, 1);
      this.joints.rightHip.setLimits(-1.3, 0.7);
    } else if (knees < 0) {
      this.joints.leftHip.setLimits(-1.5, 0.5);
      this.joints.rightHip.setLimits(-0.8, 1.2);
    }
    const head = this.bodies.head;
    if (!this.fallen) head.applyTorque(-4 * (head.getAngle() + 0.2), true);
  }

  // One tick: keys, physics, rules, camera. After the finish everything stands still.
  tick() {
    if (this.finished) return;
    this.control();
    this.world.step(STEP, ITERATIONS, ITERATIONS);
    this.ticks += 1;
    const torso = this.bodies.torso.getPosition(), foot = this.bodies.leftFoot.getPosition().x;
    if (foot > 989 && this.onTrack(this.bodies.leftFoot)) {
      this.jumped = true;
      if (foot > 1000) this.finished = true;
    }
    if (this.fallen || torso.y < -5) return;
    this.cameraX = torso.x - VIEW.left;
    this.track.forEach((segment, i) => {
      const x = this.segmentX(i);
      if (segment.getPosition().x !== x) segment.setTransform(planck.Vec2(x, TRACK_TOP + 1.6), 0);
    });
  }

  onTrack(body) {
    for (let edge = body.getContactList(); edge; edge = edge.next) {
      if (edge.other.getUserData() === "track" && edge.contact.isTouching()) return true;
    }
    return false;
  }

  // x, y, angle of the twelve bodies in the order of PARTS: 36 numbers.
  pose() {
    return PARTS.flatMap((name) => {
      const body = this.bodies[name], { x, y } = body.getPosition();
      return [x, y, body.getAngle()];
    });
  }
}

// ---------------------------------------------------------------------------------------------------------- drawing
const COLOURS = {
  sky: "#cfe3ee", dusk: "#e8b9a0", hedge: "#a9c9a4", bush: "#8fb78d", track: "#9fb4cf", line: "#c9d6e6", kerb: "#7f97b8",
  wall: "#9a8f86", sign: "#8496ab", near: "#f2c29b", far: "#b5734c", shirt: "#2f6fb3", shorts: "#27354a", farShorts: "#16202f",
  shoe: "#f8f8f8", farShoe: "#a3a9b3", hair: "#4a2f27", hurdle: "#fafafa",
};
const HORIZON = 4.6, KERB = 5.4; // u: where the hedge ends and where the track begins
const LIMBS = [ // drawn from the far side to the near side
  ["leftArm", "far"], ["leftForearm", "far"], ["leftThigh", "farShorts"], ["leftCalf", "far"], ["leftFoot", "farShoe"],
  ["torso", "shirt"], ["head", "near"],
  ["rightFoot", "shoe"], ["rightCalf", "near"], ["rightThigh", "shorts"], ["rightArm", "near"], ["rightForearm", "near"],
];

// Paint the runner into a 2D context of any size; the view is always 32 x 20 u.
function drawRunner(context, runner) {
  const { width, height } = context.canvas;
  const left = runner.cameraX, right = left + VIEW.width / VIEW.scale;
  const sx = width / (right - left), sy = height / (VIEW.height / VIEW.scale);
  const rectangle = (colour, x, y, w, h) => {
    context.fillStyle = COLOURS[colour];
    context.fillRect(x, y, w, h);
  };
  // Everything behind the runner that repeats does so every 20 u, so that a frame shows the place within 2 m.
  const every = (step, draw) => {
    for (let x = Math.floor(left / step) * step; x < right + step; x += step) draw(x);
  };
  context.setTransform(sx, 0, 0, sy, -left * sx, -VIEW.top * sy);
  rectangle(runner.fallen ? "dusk" : "sky", left, VIEW.top, right - left, 20);
  rectangle("hedge", left, HORIZON - 2.2, right - left, 3);
  context.fillStyle = COLOURS.bush;
  context.beginPath();
  every(20, (x) => context.ellipse(x + 7, HORIZON, 4.2, 4.6, 0, Math.PI, 0));
  context.fill();
  rectangle("kerb", left, HORIZON, right - left, KERB - HORIZON);
  rectangle("track", left, KERB, right - left, 10 - KERB);
  context.fillStyle = COLOURS.line;
  context.beginPath();
  every(10, (x) => { // a line across the track every metre, seen at a slant
    context.moveTo(x, 10);
    context.lineTo(x + 1.1, 10);
    context.lineTo(x + 1.7, KERB);
    context.lineTo(x + 1.1, KERB);
  });
  context.fill();
  drawSigns(context, left, right);
  if (left < -33) rectangle("wall", left, VIEW.top, -33.72 - left, 20);

  context.lineCap = "round";
  for (const [part, colour] of LIMBS) drawLimb(context, runner.bodies[part], part, colour);
  if (runner.hurdle.getPosition().x - left < 40) drawHurdle(context, runner.hurdle);
  context.setTransform(1, 0, 0, 1, 0, 0);
}

// A post with the distance every 5 metres, and a broad start line.
function drawSigns(context, left, right) {
  context.textAlign = "center";
  context.font = "bold 2px sans-serif";
  for (let x = Math.max(0, Math.floor(left / 50) * 50); x < right + 3; x += 50) {
    context.fillStyle = COLOURS.sign;
    context.fillRect(x - 0.2, -1, 0.4, HORIZON + 1);
    context.fillRect(x - 2.4, -3.4, 4.8, 2.8);
    context.fillStyle = COLOURS.shoe;
    context.fillText(`${x / 10}`, x, -1.3);
  }
}

function drawLimb(context, body, part, colour) {
  const { x, y } = body.getPosition(), angle = body.getAngle();
  const [, , , halfLength, halfWidth] = BODIES[part];
  const cos = Math.cos(angle), sin = Math.sin(angle);
  context.strokeStyle = context.fillStyle = COLOURS[colour];
  if (part === "head") {
    context.beginPath();
    context.arc(x, y, 1.35, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = COLOURS.hair; // a cap of hair that shows where the face looks
    context.beginPath();
    context.arc(x, y, 1.4, angle - 3.3, angle - 0.4);
    context.fill();
    return;
  }
  const along = Math.max(halfLength - halfWidth, 0.3);
  context.lineWidth = 2 * halfWidth;
  context.beginPath();
  context.moveTo(x - cos * along, y - sin * along);
  context.lineTo(x + cos * along, y + sin * along);
  context.stroke();
}

function drawHurdle(context, top) {
  const { x, y } = top.getPosition(), angle = top.getAngle();
  context.fillStyle = COLOURS.hurdle;
  context.save();
  context.translate(x, y);
  context.rotate(angle);
  context.fillRect(-0.54, -3.65, 1.08, 7.3);
  context.restore();
}
