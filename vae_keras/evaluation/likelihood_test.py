import keras
import numpy as np
import pytest
from keras import layers
from scipy import integrate, special, stats

from vae_keras.beyond.posteriors import FlowPosterior
from vae_keras.beyond.priors import VampPrior
from vae_keras.evaluation import likelihood
from vae_keras.evaluation.images import grey_level_entropy
from vae_keras.vae import VAE

RNG = np.random.default_rng(0)
NOISE = 0.05


def linear_vae(size, latent_dim, num_classes=0, **arguments):
    """Builds a VAE of square images with single dense layers as networks."""
    images, z = keras.Input((size, size, 1)), keras.Input((latent_dim,))
    given = [keras.Input((num_classes,))] if num_classes else []
    flat = layers.Flatten()(images)
    posterior = [layers.Dense(latent_dim, name=name)(flat) for name in ("z_mean", "z_log_var")]
    encoder = keras.Model([images, *given] if given else images, posterior)
    hidden = layers.Dense(size**2, name="dense")(layers.Concatenate()([z, *given]) if given else z)
    logits = layers.Reshape((size, size, 1))(hidden)
    return VAE(encoder, keras.Model([z, *given] if given else z, logits), **arguments)


class LinearGaussian:
    """A VAE with a nearly linear decoder, and its measures in closed form.

    The sigmoid of a small logit is 1/2 + logit / 4, so pixels are normal around 1/2 with covariance
    W W' / 16 + NOISE**2. The encoder's mean is that of the exact posterior plus `shift`; its
    variances are 1.5 times those of the best diagonal posterior.
    """

    shift = np.array([0.3, -0.2])

    def __init__(self):
        self.vae = linear_vae(4, 2, likelihood="sigma")
        weights = np.random.default_rng(1).normal(size=(2, 16)) * 0.0125
        self.vae.decoder.get_layer("dense").set_weights([4 * weights, np.zeros(16)])
        self.vae.log_scale.assign(np.log(NOISE))
        self.covariance = weights.T @ weights + NOISE**2 * np.eye(16)
        self.precision = np.eye(2) + weights @ weights.T / NOISE**2
        gain = np.linalg.solve(self.precision, weights).T / NOISE**2
        z_mean, z_log_var = map(self.vae.encoder.get_layer, ("z_mean", "z_log_var"))
        z_mean.set_weights([gain, self.shift - 0.5 * gain.sum(axis=0)])
        z_log_var.set_weights([np.zeros((16, 2)), np.log(1.5 / np.diag(self.precision))])

    def draw(self, number):
        """Returns images and their mean log-density."""
        distribution = stats.multivariate_normal(np.full(16, 0.5), self.covariance)
        pixels = distribution.rvs(number, random_state=RNG)
        return pixels.reshape(-1, 4, 4, 1).astype("float32"), distribution.logpdf(pixels).mean()

    @property
    def approximation(self):
        """KL divergence of the best diagonal posterior from the exact posterior."""
        variances = np.log(np.diag(self.precision)).sum()
        return 0.5 * (variances - np.linalg.slogdet(self.precision)[1])

    @property
    def amortisation(self):
        """Loss of the encoder compared with the best diagonal posterior."""
        moved = 0.5 * self.shift @ self.precision @ self.shift
        return moved + 2 * 0.5 * (1.5 - 1 - np.log(1.5))


@pytest.fixture(scope="module")
def model():
    return LinearGaussian()


def test_elbo_of_a_linear_gaussian_model(model):
    images, log_density = model.draw(600)
    terms = likelihood.elbo_terms(model.vae, images)
    expected = log_density - model.approximation - model.amortisation
    np.testing.assert_allclose(terms["elbo"], expected, atol=0.15)
    assert terms["elbo"] == -terms["reconstruction_loss"] - terms["kl_divergence"]


def test_importance_weighted_bound_tightens_towards_the_density(model):
    images, log_density = model.draw(600)
    bounds = [likelihood.nll(model.vae, images, num_samples=k) for k in (1, 10, 500)]
    np.testing.assert_allclose(bounds[2], -log_density, atol=0.003)
    assert bounds[0] > bounds[1] + 0.1 > bounds[2] + 0.1
    elbo = log_density - model.approximation - model.amortisation
    np.testing.assert_allclose(bounds[0], -elbo, atol=0.15)


def test_gap_parts_of_a_linear_gaussian_model(model):
    train, train_density = model.draw(600)
    test, test_density = model.draw(500)
    parts = likelihood.gap_parts(model.vae, train, test)
    expected = {
        "exact_nll": -test_density,
        "refined_elbo": test_density - model.approximation,
        "gap_approximation": model.approximation,
        "gap_amortisation": model.amortisation,
        "gap_amortisation_generalisation": 0,
        "gap_decoder": train_density - test_density,
    }
    assert set(parts) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(parts[name], value, atol=0.05, err_msg=name)


def test_gap_parts_add_up_to_the_gap_above_the_entropies():
    vae = linear_vae(4, 2)
    train, test = (RNG.integers(0, high, (1500, 4, 4, 1), dtype=np.uint8) for high in (256, 32))
    parts = likelihood.gap_parts(vae, train, test)
    amortised = likelihood.elbo_terms(vae, np.tile(test, (30, 1, 1, 1)))["elbo"]
    test_excess = -amortised - grey_level_entropy(test)
    train_excess = likelihood.exact_nll(vae, train) - grey_level_entropy(train)
    total = sum(value for name, value in parts.items() if name.startswith("gap_"))
    np.testing.assert_allclose(total, test_excess - train_excess, atol=0.03)
    assert parts["gap_approximation"] > 0 and parts["gap_amortisation"] > 0


def test_refinement_from_the_grid_leaves_a_local_optimum():
    # Both ends of the only latent dimension decode to a white image, the middle to a black one.
    images = keras.Input((2, 2, 1))
    flat = layers.Flatten()(images)
    posterior = [layers.Dense(1, name=name)(flat) for name in ("z_mean", "z_log_var")]
    z = keras.Input((1,))
    hidden = layers.Dense(2, activation="relu", name="hidden")(z)
    logits = layers.Reshape((2, 2, 1))(layers.Dense(4, name="logits")(hidden))
    vae = VAE(keras.Model(images, posterior), keras.Model(z, logits))
    vae.decoder.get_layer("hidden").set_weights([np.array([[1.0, -1.0]]), np.array([-1.0, -3.0])])
    vae.decoder.get_layer("logits").set_weights([np.full((2, 4), 8.0), np.full(4, -8.0)])
    vae.encoder.get_layer("z_mean").set_weights([np.zeros((4, 1)), np.array([-4.0])])
    vae.encoder.get_layer("z_log_var").set_weights([np.zeros((4, 1)), np.array([-4.0])])
    white = np.full((3, 2, 2, 1), 255, "uint8")
    parts = likelihood.gap_parts(vae, white, white)
    assert parts["gap_amortisation"] > 3  # the code 4 standard deviations away has a low prior
    assert 0 < parts["gap_approximation"] < 1


def test_binary_nll_of_a_decoder_that_ignores_its_code():
    vae = linear_vae(4, 3)
    logits = RNG.normal(size=16)
    vae.decoder.get_layer("dense").set_weights([np.zeros((3, 16)), logits])
    vae.encoder.get_layer("z_mean").set_weights([np.zeros((16, 3)), np.full(3, 0.2)])
    vae.encoder.get_layer("z_log_var").set_weights([np.zeros((16, 3)), np.full(3, 0.3)])
    images = RNG.integers(0, 256, (100, 4, 4, 1), dtype=np.uint8)
    binary = np.random.default_rng(7).random(images.shape, "float32") < images / 255
    signs = np.where(binary.reshape(-1, 16), 1, -1)
    expected = -special.log_expit(signs * logits).sum(axis=1).mean()
    result = likelihood.binary_nll(vae, images, num_samples=2000, seed=7)
    np.testing.assert_allclose(result, expected, atol=0.03)
    assert result != likelihood.binary_nll(vae, images, num_samples=2000, seed=8)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_likelihood_with_one_latent_dimension_matches_quadrature(num_classes):
    vae = linear_vae(2, 1, num_classes)
    images = np.array([[[[0], [255]], [[255], [255]]], [[[0], [0]], [[0], [255]]]], "uint8")
    labels = np.array([2, 0]) if num_classes else None
    vae.decoder.get_layer("dense").bias.assign(RNG.normal(size=4))
    kernel, bias = vae.decoder.get_layer("dense").get_weights()
    signs = np.where(images.reshape(2, 4) > 0, 1, -1)
    log_likelihoods = []
    for image, sign in enumerate(signs):
        shift = bias if labels is None else bias + kernel[1 + labels[image]]

        def joint(z, sign=sign, shift=shift):
            return stats.norm.pdf(z) * special.expit(sign * (kernel[0] * z + shift)).prod()

        log_likelihoods.append(np.log(integrate.quad(joint, -8, 8)[0]))
    expected = -np.mean(log_likelihoods)
    if not num_classes:
        exact = likelihood.exact_nll(vae, images)
        np.testing.assert_allclose(exact, expected, atol=2e-5)  # 1e-5 of it lies off the grid
    # Black and white images have only one possible binary draw.
    bound = likelihood.binary_nll(vae, images, labels, num_samples=20_000)
    np.testing.assert_allclose(bound, expected, atol=0.03)


def test_a_conditional_model_needs_its_labels(build_vae):
    vae = build_vae(num_classes=3, likelihood="logistic")
    images = RNG.integers(0, 256, (70, 8, 8, 1), dtype=np.uint8)
    assert np.isfinite(likelihood.nll(vae, images, np.arange(70) % 3, num_samples=3))
    with pytest.raises(ValueError, match="`labels`"):
        likelihood.nll(vae, images)


def test_measures_refuse_models_that_they_do_not_apply_to(build_vae):
    images = np.zeros((2, 8, 8, 1), "uint8")
    with pytest.raises(ValueError, match='likelihood "bce"'):
        likelihood.binary_nll(build_vae(likelihood="sigma"), images)
    for arguments in (
        {"latent_dim": 3},
        {"num_classes": 2},
        {"prior": VampPrior(4)},
        {"posterior": FlowPosterior()},
    ):
        with pytest.raises(ValueError, match="at most 2 latent dimensions, a standard normal"):
            likelihood.exact_nll(build_vae(**arguments), images)
