select world.chain('u53', '88653');
select world.subscriber('desk@u53.example', 'u53-customer', 'demo-secret', null);
select world.number('886532000001', 'u53-customer', 'desk@u53.example');
