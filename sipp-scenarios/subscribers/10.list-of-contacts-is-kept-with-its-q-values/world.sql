select world.chain('u10', '88610');
