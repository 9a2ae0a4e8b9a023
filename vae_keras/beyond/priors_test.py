import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.special import logsumexp

from vae_keras.beyond.flows import CouplingFlow
from vae_keras.beyond.ladder import LADDER, LadderPosterior, LadderPrior
from vae_keras.beyond.posteriors import FlowPosterior
from vae_keras.beyond.priors import FlowPrior, VampPrior
from vae_keras.evaluation import likelihood
from vae_keras.losses import kl_divergence
from vae_keras.networks import build_networks
from vae_keras.priors import Prior, StandardNormal
from vae_keras.runtime import dtype_policy
from vae_keras.vae import VAE

SHAPE = (8, 8, 1)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, *SHAPE), dtype=np.uint8)
KINDS = {
    "vamp": lambda: {"prior": VampPrior(6)},
    "flow": lambda: {"prior": FlowPrior(3, 8)},
    "flow_posterior": lambda: {"posterior": FlowPosterior(2, 8)},
    "flow_posterior_vamp": lambda: {"prior": VampPrior(6), "posterior": FlowPosterior(2, 8)},
    "ladder": lambda: {"prior": LadderPrior(8), "posterior": LadderPosterior()},
}


def shaken(vae):
    """Moves every weight of the prior and the posterior away from its initial value."""
    for weight in vae.prior.trainable_weights + vae.posterior.trainable_weights:
        weight.assign_add(0.3 * RNG.standard_normal(weight.shape))
    return vae


@pytest.fixture(params=KINDS)
def vae(request, build_vae):
    return shaken(build_vae(latent_dim=4, **KINDS[request.param]()))


def log_normal(z, mean, log_var):
    return stats.norm.logpdf(z, mean, np.exp(0.5 * np.asarray(log_var))).sum(axis=-1)


def jacobian_log_det(function, z):
    """Log-determinants of a function's Jacobian, one per row, by automatic differentiation."""
    z = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(z)
        outputs = function(z)
    return np.linalg.slogdet(tape.batch_jacobian(outputs, z))[1]


def test_standard_normal_has_its_density_and_its_divergence(build_vae):
    vae = build_vae()
    z = RNG.standard_normal((5, 2)).astype("float32")
    np.testing.assert_allclose(vae.prior.log_prob(z), log_normal(z, 0, 0), rtol=1e-5)
    moments = vae.moments(IMAGES)
    parts = vae.prior.kl_parts(moments, None, None)
    np.testing.assert_allclose(np.sum(parts, -1), kl_divergence(*moments), rtol=1e-5)


def test_vamp_prior_is_the_mixture_of_its_posteriors(build_vae):
    vae = build_vae(prior=VampPrior(6))
    z = RNG.standard_normal((5, 2)).astype("float32")
    pseudo = np.clip(vae.prior.pseudo_inputs, 0, 1)
    components = zip(*map(np.asarray, vae.encode(pseudo)), strict=True)
    expected = logsumexp([log_normal(z, *moments) for moments in components], axis=0) - np.log(6)
    np.testing.assert_allclose(vae.prior.log_prob(z), expected, rtol=1e-4)


def test_vamp_prior_starts_at_images_and_has_no_classes(build_vae):
    vae = build_vae(prior=VampPrior(4))
    vae.adapt(IMAGES)
    np.testing.assert_allclose(vae.prior.pseudo_inputs, IMAGES[::10] / 255, atol=1e-6)
    with pytest.raises(ValueError, match="takes images only"):
        build_vae(num_classes=3, prior=VampPrior())


def test_samples_of_the_vamp_prior_come_from_all_components(build_vae):
    vae = build_vae(prior=VampPrior(3))
    means = tf.constant([[0.0, 0], [10, 0], [20, 0]])
    vae.prior.components = lambda: (means, tf.fill((3, 2), -10.0))
    z = np.asarray(vae.prior.sample(3000, vae.sampler))
    counts = np.bincount(np.rint(z[:, 0] / 10).astype(int))
    assert abs(counts - 1000).max() < 5 * np.sqrt(3000 * 2 / 9)
    assert abs(z[:, 1]).max() < 0.1


@pytest.mark.parametrize("dim", [2, 5])
@pytest.mark.parametrize("context_dim", [0, 3])
def test_a_flow_is_inverted_and_knows_its_determinant(dim, context_dim):
    flow = CouplingFlow(3, 8)
    flow.build((None, dim), (None, context_dim) if context_dim else None)
    z = RNG.standard_normal((6, dim)).astype("float32")
    context = RNG.standard_normal((6, context_dim)).astype("float32") if context_dim else None
    start, log_det = flow(z, context)
    np.testing.assert_allclose(np.sort(start, -1), np.sort(z, -1), atol=1e-6)
    np.testing.assert_allclose(log_det, 0, atol=1e-6)
    for weight in flow.trainable_weights:
        weight.assign(0.5 * RNG.standard_normal(weight.shape))
    moved, log_det = flow(z, context)
    assert np.abs(log_det).min() > 1e-3 and not np.allclose(np.sort(moved, -1), np.sort(z, -1))
    np.testing.assert_allclose(flow.invert(moved, context), z, atol=1e-5)
    expected = jacobian_log_det(lambda z: flow(z, context)[0], z)
    np.testing.assert_allclose(log_det, expected, atol=1e-5)


def test_a_coupling_by_hand():
    flow = CouplingFlow(1, 1)
    flow.build((None, 2))
    hidden, last = flow.networks[0].layers
    hidden.kernel.assign([[2.0]])  # relu(2 * 1.5) = 3
    last.kernel.assign([[1.0, 0.1]])
    last.bias.assign([0.5, 0.2])  # shift 3.5, log-scale tanh(0.5)
    z, log_det = flow(np.array([[1.5, -1.0]], "float32"))
    scale = np.tanh(0.5)
    np.testing.assert_allclose(z, [[-np.exp(scale) + 3.5, 1.5]], rtol=1e-6)
    np.testing.assert_allclose(log_det, [scale], rtol=1e-6)


def test_a_flow_needs_two_dimensions():
    with pytest.raises(ValueError, match="two dimensions or more. Received: 1"):
        CouplingFlow().build((None, 1))


def test_densities_integrate_to_one(build_vae):
    axis = np.linspace(-12, 12, 401, dtype="float32")
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    for prior in (StandardNormal(), VampPrior(6), FlowPrior(2, 8), LadderPrior(8)):
        vae = shaken(build_vae(prior=prior))
        total = np.exp(np.asarray(prior.log_prob(grid), "float64")).sum() * (axis[1] - axis[0]) ** 2
        np.testing.assert_allclose(total, 1, atol=2e-3, err_msg=type(prior).__name__)
        z = np.asarray(prior.sample(40_000, vae.sampler))
        mean, deviation = map(np.asarray, prior.spread(vae.sampler))
        probabilities = np.exp(np.asarray(prior.log_prob(grid), "float64"))
        expected = (probabilities[:, None] * grid).sum(0) / probabilities.sum()
        np.testing.assert_allclose(z.mean(0), expected, atol=6 * z.std(0).max() / 200)
        np.testing.assert_allclose(mean, expected, atol=6 * z.std(0).max() / 70)
        np.testing.assert_allclose(deviation, z.std(0), rtol=0.1)


def test_the_density_of_a_posterior_is_that_of_its_draws(vae):
    moments = [moment[:8] for moment in vae.moments(IMAGES)]
    noise = RNG.standard_normal((8, 4)).astype("float32")

    def place(noise):
        ladder = isinstance(vae.prior, LadderPrior)
        draws = iter([noise[:, :1], noise[:, 1:]] if ladder else [noise])
        return vae.posterior.sample(
            moments, vae.prior, lambda pair: pair[0] + tf.exp(0.5 * pair[1]) * next(draws)
        )

    z, log_q = place(noise)
    expected = log_normal(noise, 0, 0) - jacobian_log_det(lambda e: place(e)[0], noise)
    np.testing.assert_allclose(log_q, expected, rtol=1e-4)
    assert z.shape == (8, 4)


def test_the_divergence_is_that_of_many_draws(vae):
    moments = [np.repeat(moment[:3], 3000, axis=0) for moment in vae.moments(IMAGES)]
    z, log_q = vae.posterior.sample(moments, vae.prior, vae.sampler)
    draws = np.reshape(log_q - vae.prior.log_prob(z), (3, 3000))
    parts = np.sum(vae.posterior.kl_parts(moments, z, log_q, vae.prior), -1).reshape(3, 3000)
    error = (draws.std(axis=1) + parts.std(axis=1)) / np.sqrt(3000)
    assert (np.abs(draws.mean(axis=1) - parts.mean(axis=1)) < 5 * error + 1e-4).all()


def test_ladder_parts_are_one_for_each_dimension(build_vae):
    vae = shaken(build_vae(latent_dim=8, **KINDS["ladder"]()))
    moments = vae.moments(IMAGES)
    z, log_q = vae.posterior.sample(moments, vae.prior, vae.sampler)
    assert vae.posterior.kl_parts(moments, z, log_q, vae.prior).shape == (40, 8)
    # Where the encoder's variances are huge, the lower level's posterior is its prior.
    nothing = np.concatenate([np.zeros((40, 2)), np.full((40, 6), 40.0)], 1).astype("float32")
    parts = vae.posterior.kl_parts((moments[0], nothing), z, log_q, vae.prior)
    np.testing.assert_allclose(parts[:, 2:], 0, atol=1e-5)


def test_precisions_of_encoder_and_prior_add_up(build_vae):
    vae = build_vae(latent_dim=4, **KINDS["ladder"]())
    vae.prior.lower = lambda upper: (tf.fill((1, 3), 2.0), tf.math.log(tf.fill((1, 3), 3.0)))
    moments = np.full((1, 4), 6.0, "float32"), np.zeros((1, 4), "float32")
    mean, log_var = vae.posterior.lower(moments, np.zeros((1, 1), "float32"), vae.prior)
    np.testing.assert_allclose(np.exp(log_var), 0.75 * np.ones((1, 3)), rtol=1e-6)
    np.testing.assert_allclose(mean, (6 + 2 / 3) * 0.75 * np.ones((1, 3)), rtol=1e-6)


def test_a_ladder_needs_two_dimensions_and_no_labels(build_vae):
    for arguments in ({"latent_dim": 1}, {"latent_dim": 4, "num_classes": 3}):
        with pytest.raises(ValueError, match="`LadderPrior` needs an encoder that takes images"):
            build_vae(**arguments, **KINDS["ladder"]())


def test_tiny_variances_of_a_ladder_are_finite(build_vae):
    vae = build_vae(latent_dim=4, **KINDS["ladder"]())
    moments = np.ones((1, 4), "float32"), np.full((1, 4), -200, "float32")
    mean, log_var = vae.posterior.lower(moments, np.zeros((1, 1), "float32"), vae.prior)
    np.testing.assert_allclose(mean, np.ones((1, 3)))
    np.testing.assert_allclose(log_var, np.full((1, 3), -200))


def test_the_decoder_of_a_ladder_sees_the_lower_level_only(build_vae):
    networks = build_networks(LADDER, SHAPE, 8)
    vae = VAE(*networks, prior=LadderPrior(), posterior=LadderPosterior())
    z = np.zeros((3, 8), "float32")
    z[1, :2], z[2, 2] = 5, 5
    images = np.asarray(vae.decode(z))
    np.testing.assert_array_equal(images[0], images[1])
    assert not np.allclose(images[0], images[2])


def test_a_vae_trains_samples_is_measured_and_saved(vae, tmp_path):
    before = [np.array(weight) for weight in vae.trainable_weights]
    vae.fit(IMAGES, epochs=2, batch_size=8, verbose=0)
    moved = [np.abs(b - w).max() > 0 for b, w in zip(before, vae.trainable_weights, strict=True)]
    assert all(moved)
    assert vae.sample(5).shape == (5, *SHAPE)
    terms = likelihood.elbo_terms(vae, IMAGES)
    bounds = [likelihood.nll(vae, IMAGES, num_samples=samples) for samples in (1, 50)]
    assert bounds[1] < bounds[0]
    assert abs(bounds[0] + terms["elbo"]) < 3  # both estimate the ELBO from one draw per image
    vae.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.encode(IMAGES), vae.encode(IMAGES))
    z = np.ones((3, 4), "float32")
    np.testing.assert_array_equal(loaded.prior.log_prob(z), vae.prior.log_prob(z))
    assert loaded.count_params() == vae.count_params()
    loaded.fit(IMAGES, verbose=0)


def test_importance_weighting_gives_the_exact_likelihood(build_vae):
    """On a fine grid of codes, log p(x) is a sum that does not depend on the posterior."""
    axis = np.linspace(-10, 10, 161, dtype="float32")
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    for kind in ("vamp", "flow", "ladder", "flow_posterior"):
        vae = shaken(build_vae(likelihood="mse", **KINDS[kind]()))
        joint = vae.prior.log_prob(grid) - vae.reconstruction_loss(
            np.repeat(IMAGES[:1], len(grid), 0), grid
        )
        exact = -logsumexp(joint) - 2 * np.log(axis[1] - axis[0])
        many = likelihood.nll(vae, np.repeat(IMAGES[:1], 64, 0), num_samples=1000)
        np.testing.assert_allclose(many, exact, atol=0.05, err_msg=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_densities_are_in_float32_under_mixed_precision(build_vae, kind):
    with dtype_policy("mixed_bfloat16"):
        vae = shaken(build_vae("residual", latent_dim=4, **KINDS[kind]()))
        vae.fit(IMAGES, batch_size=8, verbose=0)
    moments = vae.moments(IMAGES)
    z, log_q = vae.posterior.sample(moments, vae.prior, vae.sampler)
    kl_parts = vae.posterior.kl_parts(moments, z, log_q, vae.prior)
    for values in (z, log_q, kl_parts, vae.prior.log_prob(z), *vae.encode(IMAGES)):
        assert values.dtype == "float32"


def test_codes_may_come_from_another_prior(build_vae):
    class Point(Prior):
        def sample(self, num_codes, draw):
            return tf.ones((num_codes, 2))

    vae = build_vae()
    np.testing.assert_allclose(vae.sample(3, codes=Point()), vae.decode(np.ones((3, 2), "float32")))


def test_another_process_finds_the_classes_of_a_saved_model(build_vae, tmp_path):
    build_vae(latent_dim=4, **KINDS["ladder"]()).save(tmp_path / "model.keras")
    code = (
        "import sys, keras; from vae_keras import VAE;"
        "print(type(keras.models.load_model(sys.argv[1]).prior).__name__)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.keras")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout.split() == ["LadderPrior"], result.stderr
