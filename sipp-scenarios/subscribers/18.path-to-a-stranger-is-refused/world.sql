select world.chain('u18', '88618');
