// The card form: card details go from this page to Stripe and never to our server, which
// gets the name of a confirmation token. https://docs.stripe.com/payments/build-a-two-step-confirmation
(() => {
  "use strict";

  const form = document.querySelector("form[data-stripe-key]");
  if (!form) return;
  const problem = form.querySelector("#payment-problem");
  if (!window.Stripe) {
    problem.textContent =
      "The card form did not load. Please check your connection and open this page again.";
    return;
  }
  const stripe = window.Stripe(form.dataset.stripeKey);
  const elements = stripe.elements({
    mode: "payment",
    amount: Number(form.dataset.amount),
    currency: form.dataset.currency,
    // Only what the server's PaymentIntent takes: see _CARDS_ONLY in stripe_adapter.py.
    // Scripts from js.stripe.com/endive on call it allowedPaymentMethodTypes.
    paymentMethodTypes: ["card"],
  });
  elements.create("payment").mount("#payment-element");

  const stop = (error) => {
    problem.textContent = error.message ?? "Please check your card details.";
    window.holdfast.busy(form, false);
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (window.holdfast.isSent(form)) return;
    window.holdfast.busy(form, true);
    problem.textContent = "";
    const checked = await elements.submit();
    if (checked.error) return stop(checked.error);
    const made = await stripe.createConfirmationToken({
      elements,
      params: { return_url: form.dataset.return },
    });
    if (made.error) return stop(made.error);
    form.elements.payment_method.value = made.confirmationToken.id;
    form.submit();
  });
})();
