// A profile such as `eaq profile` writes, of a made-up machine: what the page's test draws. Its figures follow from a formula and
// no measurement.
const noise = (seed) => ((Math.sin(seed * 12.9898) * 43758.5453) % 1 + 1) % 1;
const figure = (mean, spread = 0.03) => ({mean, ci95: [mean * (1 - spread), mean * (1 + spread)], trials: []});

// A figure in a result's flat form: NAME and NAME_ci95.
const flat = (name, f) => ({[name]: f?.mean ?? null, [`${name}_ci95`]: f?.ci95 ?? null});

const impact = (kl) => ({
  n: 20000, kl, ci95: [kl * 0.8, kl * 1.2], flips: Math.round(kl * 1e4), ...flat('delta_nll', {mean: kl / 2, ci95: [-kl, 2 * kl]}),
  ...flat('accuracy_delta'), emulated: false});

const site = (name, kind, index, parameters, flops, bytes) => {
  const ms = Math.max(flops / 4e11, bytes / 2e9, 0.004);
  const mJ = 0.08 * ms * 1000 + flops * 3e-10 + bytes * 8e-8;
  const weights = parameters > 0;
  return {
    site: name, kind, format: 'bf16', parameters, bytes, flops, ...flat('time_ms', figure(ms, 0.01)),
    ...flat('mJ', figure(mJ * (0.95 + 0.1 * noise(index)))), ...flat('mJ_in_place', figure(mJ * (0.93 + 0.14 * noise(index + 7)), 0.06)),
    mJ_time_share: mJ * (0.7 + 0.6 * noise(index + 3)), share: null,
    bound_by: flops / bytes > 150 ? 'arithmetic' : ms > 0.004 ? 'memory' : 'static',
    impact: weights ? {int8: impact(1e-4 * (1 + 5 * noise(index))), fp16: impact(1e-7 * (1 + noise(index)))} : {},
    ablation: impact(0.05 + noise(index + 1)), notes: []};
};

const sites = () => {
  const all = [site('transformer.wte', 'embedding', 1, 38597376, 1e5, 3e6)];
  for (let h = 0; h < 12; ++h) {
    const at = `transformer.h.${h}.`, i = 10 * h;
    all.push(site(`${at}ln_1`, 'norm', i + 1, 1536, 6e6, 6e6), site(`${at}attn.c_attn`, 'linear', i + 2, 1771776, 2.9e9, 9e6),
      site(`${at}attn`, 'attention', i + 3, 0, 1.2e9, 8e6), site(`${at}attn.c_proj`, 'linear', i + 4, 590592, 9.6e8, 6e6),
      site(`${at}ln_2`, 'norm', i + 5, 1536, 6e6, 6e6), site(`${at}mlp.c_fc`, 'linear', i + 6, 2362368, 3.8e9, 1.3e7),
      site(`${at}mlp.c_proj`, 'linear', i + 7, 2360064, 3.8e9, 1.3e7));
    const gelu = site(`${at}mlp.act`, 'activation', i + 8, 0, 1e7, 1e7);
    all.push({...gelu, fused_into: `${at}mlp.c_fc`, ...flat('time_ms'), ...flat('mJ'), ...flat('mJ_in_place'), mJ_time_share: null, bound_by: undefined});
  }
  all.push(site('lm_head', 'head', 200, 38597376, 6.3e10, 1.1e8));
  const whole = all.reduce((sum, s) => sum + (s.mJ ?? 0), 0);
  for (const s of all) if (s.mJ) s.share = s.mJ / whole;
  return [all, whole];
};

const sum = (parts, model) => ({
  ...flat('sum_mJ', figure(parts)), ...flat('model_mJ', figure(model)), error: parts / model - 1, ci95: [parts / model - 1.02, parts / model - 0.98]});

const matrix = (n, f) => Array.from({length: n}, (_, i) => Array.from({length: n}, (_, j) => f(i, j)));

/** As JSON text: the manifest and the run are those of a study, so that every field is there. */
export const profile = (study) => {
  const [all, whole] = sites();
  const names = ['mJ', 'time_ms', 'parameters', 'bytes', 'flops', 'kl int8', 'kl fp16', 'kl ablated'];
  const r = (i, j) => (i === j ? 1 : Math.cos(1 + i * 3 + j * 3) * 0.9);
  const bounds = (i, j) => [Math.max(-1, r(i, j) - 0.15), Math.min(1, r(i, j) + 0.15)];
  return JSON.stringify({
    schema: 'eaq.profile/1', interrupted: false, manifest: study.manifest, run: study.runs[2], sites: all,
    additivity: {loops: sum(whole, whole * 1.03), in_place: sum(whole * 1.02, whole * 1.03)},
    roofline: {static_W: figure(80), pJ_per_flop: figure(0.3), pJ_per_byte: figure(80), r2: 0.97},
    correlations: {names, n: 50, pearson: matrix(8, r), spearman: matrix(8, (i, j) => r(i, j) * (i === j ? 1 : 0.9)),
      pearson_ci95: matrix(8, bounds), spearman_ci95: matrix(8, bounds)},
    guidelines: [{site_group: 'mlp', format: 'int8', advice: 'quantise', evidence: 'saves 12 % of the joules, and no difference shows'}],
    claims: [{claim: 'GPT-2: the LM head has the highest energy', verdict: 'confirmed', evidence: '21 % of the joules'}],
    refused: []});
};
